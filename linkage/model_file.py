"""The model file: what training leaves and scoring reads, and when it must not be used.

It holds rates and counts, never a token, a term frequency table or anything else of a person.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from linkage.calibration import Calibration
from linkage.encoding.profiles import profile_named
from linkage.errors import UsageError
from linkage.model import Learned, Parameters, comparisons

MODEL_FILE_VERSION = 1

_NEEDED = {"first_name", "last_name", "birth_date"}


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained model: Splink's settings with what was learned, the calibration, and how training went.

    `training` holds counts and rates for the training report: records, prior and how it was found, each
    session's iterations and last change, comparisons left out for want of probable matches, levels never
    observed, blocking counts, `complete` and, if not, `incomplete_because`.
    """

    splink_settings: Mapping[str, Any]
    parameters: Parameters
    calibration: Calibration
    training: Mapping[str, Any]

    @property
    def version(self) -> str:
        """`v1-` and eight hexadecimal digits of the SHA-256 of all that scoring uses; how training went (which
        holds times) is not part of it. Equal models have equal versions."""
        used = {name: part for name, part in self._contents().items() if name != "training"}
        digest = hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()
        return f"v{MODEL_FILE_VERSION}-{digest[:8]}"

    @property
    def learned_too_little(self) -> bool:
        """Whether names or birth dates weigh nothing, for want of probable matches: it links hardly anybody."""
        return not _NEEDED.isdisjoint(self.training.get("left_out", ()))

    def refuse_half_trained(self) -> None:
        """Raise UsageError when a comparison was not learned: Splink would only warn, and guess."""
        if not self.training["complete"]:
            raise UsageError(
                f"Model {self.version} is half trained: {self.training['incomplete_because']} "
                "Train again on more deliveries."
            )

    def refuse_other_profile(self, profile: str) -> None:
        """Raise UsageError when the source records are of another encoding profile than the model."""
        if profile != self.parameters.profile:
            raise UsageError(
                f"Model {self.version} is of the encoding profile {self.parameters.profile}, but the source records "
                f"are of {profile}, which has other columns: train a model on them, or name one of that profile in "
                "county.toml, [linkage] model."
            )

    def save(self, path: Path) -> None:
        """Write the model to a JSON file."""
        text = json.dumps({"version": self.version, **self._contents()}, indent=1, sort_keys=True)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Model":
        """Read a model file. Raises UsageError when it is not one, or was changed by hand."""
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
            levels = written["parameters"]["levels"]
            model = cls(
                splink_settings=written["splink_settings"],
                parameters=Parameters(
                    prior=written["parameters"]["prior"],
                    levels={
                        name: {level: Learned(**learned) for level, learned in of_comparison.items()}
                        for name, of_comparison in levels.items()
                    },
                    adjustments=written["parameters"]["adjustments"],
                    profile=profile_named(written["parameters"]["profile"]).name,
                ),
                calibration=Calibration.from_json(written["calibration"]),
                training=written["training"],
            )
            version = written["version"]
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"{path.name} is not a model file. Train a model, or name another file."
            ) from error
        expected = {
            each.name: [level.name for level in each.levels if not level.tells_nothing]
            for each in comparisons(model.parameters.profile)
        }
        if {name: list(of_comparison) for name, of_comparison in levels.items()} != expected and {
            name: sorted(of_comparison) for name, of_comparison in levels.items()
        } != {name: sorted(names) for name, names in expected.items()}:
            raise UsageError(
                f"{path.name} was trained with other comparisons than this version of the software has. "
                "Train a new model."
            )
        if version != model.version:
            raise UsageError(
                f"{path.name} was changed after training: its contents do not give its version. Train a new model."
            )
        return model

    def _contents(self) -> dict[str, Any]:
        return {
            "splink_settings": self.splink_settings,
            "parameters": asdict(self.parameters),
            "calibration": self.calibration.to_json(),
            "training": self.training,
        }
