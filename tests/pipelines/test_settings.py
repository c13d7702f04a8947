"""The county file is the whole of local policy: what is wrong in it is said, and nothing runs."""

import datetime as dt
from pathlib import Path

import pytest

from linkage.errors import PolicyError, UsageError
from pipelines.settings import load_settings

SAMPLE = Path(__file__).parents[2] / "sample_data" / "county.toml"
COUNTY = '[county]\nname = "X"\ntime_zone = "UTC"\n'
JAIL = """[agreements.jail]
legal_basis = "authorization"
reference = "MOU 1"
custodian = "Records"
expires_on = 2030-01-01
"""


@pytest.fixture
def settings_of(tmp_path):
    def load(text):
        path = tmp_path / "county.toml"
        path.write_text(text, encoding="utf-8")
        return load_settings(path)

    return load


def test_the_sample_county_file_is_valid_and_covers_every_source():
    settings = load_settings(SAMPLE)
    assert set(settings.agreements) == {"jail", "shelter", "ems", "hospital"}
    assert {cohort.name for cohort in settings.cohorts} >= {
        "king_county_familiar_faces",
        "frequent_ed",
        "multi_system",
        "wake_county",
    }


def test_presets_are_used_beside_the_countys_own_cohorts(settings_of):
    settings = settings_of(COUNTY + '[cohort_presets]\nowner = "O"\nuse = ["wake_county"]')
    assert [(cohort.name, cohort.owner) for cohort in settings.cohorts] == [("wake_county", "O")]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        pytest.param("", UsageError, "'county' is missing", id="no county"),
        pytest.param(COUNTY + "[releases]\n", UsageError, "unknown key 'releases'", id="a misspelt table"),
        pytest.param(
            COUNTY + "[linkage]\nlink_att = 0.9\n", UsageError, "unknown key 'link_att'", id="a misspelt key"
        ),
        pytest.param(
            COUNTY + "[linkage]\nlink_at = 1.2\n",
            UsageError,
            "link_at: expected",
            id="impossible probability",
        ),
        pytest.param(
            COUNTY + "[linkage]\nlink_at = 0.2\n", UsageError, "link_at: expected", id="worse than a coin"
        ),
        pytest.param(
            COUNTY + "[release]\nsmall_cell_threshold = 1\n",
            UsageError,
            "at least 2",
            id="no small-cell rule",
        ),
        pytest.param(
            COUNTY + '[release]\nsign_off_required = "no"\n',
            UsageError,
            "true or false",
            id="text for yes or no",
        ),
        pytest.param(
            COUNTY + '[stepping_up]\nconnected_by = ["ed"]\n',
            UsageError,
            "an emergency department visit connects nobody",
            id="an emergency visit as care",
        ),
        pytest.param(
            COUNTY + '[cohort_presets]\nowner = "O"\nuse = ["camden_core"]\n',
            UsageError,
            "camden_core needs diagnoses of chronic conditions",
            id="a preset that the data cannot tell",
        ),
        pytest.param(
            COUNTY + "[review]\nqueue_size = 0\n", UsageError, "at least 1", id="an empty review queue"
        ),
        pytest.param(
            COUNTY + "[review]\ndouble_review_share = 10\n",
            UsageError,
            "a share from 0 to 1",
            id="per cent for a share",
        ),
        pytest.param(
            COUNTY + "[review]\nqueue = 9\n", UsageError, "unknown key 'queue'", id="a misspelt review"
        ),
        pytest.param(
            COUNTY + JAIL.replace('"authorization"', '"safe_harbor"'),
            PolicyError,
            "safe harbor cannot be the legal basis",
            id="safe harbor",
        ),
        pytest.param(
            COUNTY + JAIL.replace('"authorization"', '"limited_data_set"') + 'recipients = ["outreach"]\n',
            PolicyError,
            "may not be used to contact people",
            id="a limited data set that contacts people",
        ),
        pytest.param(
            COUNTY + JAIL.replace("jail", "prison"), UsageError, "no such source", id="unknown source"
        ),
        pytest.param(
            COUNTY + JAIL.replace("2030-01-01", '"soon"'), UsageError, "expected a date", id="vague expiry"
        ),
        pytest.param(COUNTY + 'x = "\n', UsageError, "not valid TOML", id="broken TOML"),
    ],
)
def test_what_is_wrong_is_said_with_file_table_and_key(settings_of, text, error, says):
    with pytest.raises(error, match=says) as raised:
        settings_of(text)
    assert "county.toml" in str(raised.value)


def test_a_source_without_agreement_may_not_be_used(settings_of):
    with pytest.raises(PolicyError, match=r"no \[agreements.ems\]"):
        settings_of(COUNTY + JAIL).agreement_for("ems", dt.date(2026, 1, 1))


def test_an_agreement_holds_through_its_last_day(settings_of):
    settings = settings_of(COUNTY + JAIL)
    assert settings.agreement_for("jail", dt.date(2030, 1, 1)).custodian == "Records"
    with pytest.raises(PolicyError, match="expired on 2030-01-01"):
        settings.agreement_for("jail", dt.date(2030, 1, 2))


def test_any_change_of_the_file_changes_its_fingerprint(settings_of):
    assert settings_of(COUNTY).sha256 != settings_of(COUNTY + "\n").sha256
