"""What is compared, how, and which pairs are compared at all: the only place that names them.

A *comparison* looks at one kind of evidence and puts a pair of source records into one of its *levels*: the
first whose condition holds, from the strongest to the weakest. Evidence that goes together stays inside one
comparison, so that it counts once. A *blocking rule* names what two records must share to be compared.

Each encoding profile has a model of its own (`linkage.model.standard`, `linkage.model.high`), because it shows
other columns. Conditions are SQL that DuckDB and Spark both speak. Nothing here holds a learned number: those
are in the model file that training writes (`linkage.model_file`).
"""

from collections.abc import Mapping

import splink.comparison_level_library as cll
import splink.comparison_library as cl
from splink import SettingsCreator
from splink.blocking_rule_library import CustomRule

from linkage.model.high import HIGH_MODEL
from linkage.model.parts import (
    HANDOVER,
    Adjustment,
    BlockingRule,
    Comparison,
    Learned,
    Level,
    LinkageModel,
    Parameters,
    Session,
    common_bits,
)
from linkage.model.standard import STANDARD_MODEL

__all__ = [
    "HANDOVER",
    "RAREST_NAME",
    "RECORD_ID",
    "TOKEN_LIST_COLUMNS",
    "Adjustment",
    "BlockingRule",
    "Comparison",
    "Learned",
    "Level",
    "LinkageModel",
    "Parameters",
    "Session",
    "adjustments",
    "blocking_rules",
    "common_bits",
    "comparison",
    "comparisons",
    "linkage_model",
    "rarity_columns",
    "splink_settings",
]

RECORD_ID = "record_number"
"""The column by which Splink knows a record of the table `compared_record`."""

RAREST_NAME = 1e-5
"""A name rarer than one in 100,000 gains no more weight: it is as likely a misspelling as a rare name."""

_MODELS = {model.profile: model for model in (STANDARD_MODEL, HIGH_MODEL)}

TOKEN_LIST_COLUMNS = tuple(
    dict.fromkeys(
        column
        for model in _MODELS.values()
        for rule in model.blocking_rules
        for column in rule.columns
        if column.endswith("_tokens")
    )
)
"""Columns of `compared_record` that hold lists; a blocking rule on one is exploded."""


def linkage_model(profile: str = "standard") -> LinkageModel:
    """The model of the encoding profile of that name."""
    return _MODELS[profile]


def comparisons(profile: str = "standard") -> tuple[Comparison, ...]:
    """Every comparison of a profile's model, in the order in which its column stands in `scored_pair`."""
    return _MODELS[profile].comparisons


def comparison(name: str, profile: str = "standard") -> Comparison:
    """The comparison of that name."""
    return next(each for each in comparisons(profile) if each.name == name)


def adjustments(profile: str = "standard") -> tuple[Adjustment, ...]:
    """The adjustments; the first that applies is made."""
    return _MODELS[profile].adjustments


def blocking_rules(profile: str = "standard") -> dict[str, BlockingRule]:
    """Blocking rules by name, in order. A pair is filed under the first rule that brings it."""
    return {rule.name: rule for rule in _MODELS[profile].blocking_rules}


def splink_settings(
    *,
    prior: float = 1e-4,
    strangers: Mapping[str, Mapping[str, float]] | None = None,
    profile: str = "standard",
    most_iterations: int = 100,
) -> SettingsCreator:
    """The untrained model as Splink settings, made anew on every call: Splink changes what it is given.

    `prior` is the share of pairs that are one person, `strangers` the u of each comparison's levels, where
    they are known; learning stops after `most_iterations` in each session. The table to compare is
    `compared_record` (`linkage.blocking`).
    """
    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name=RECORD_ID,
        probability_two_random_records_match=prior,
        comparisons=[
            _splink_comparison(each, (strangers or {}).get(each.name, {})) for each in comparisons(profile)
        ],
        max_iterations=most_iterations,
        blocking_rules_to_generate_predictions=[
            _splink_rule(rule) for rule in blocking_rules(profile).values()
        ],
        retain_matching_columns=False,
        retain_intermediate_calculation_columns=False,
    )


def _splink_rule(rule: BlockingRule) -> CustomRule:
    conditions = [f"l.{column} = r.{column}" for column in rule.columns]
    if rule.one_lacks:
        conditions.append(f"(l.{rule.one_lacks} is null or r.{rule.one_lacks} is null)")
    exploded = [column for column in rule.columns if column in TOKEN_LIST_COLUMNS]
    return CustomRule(" and ".join(conditions), arrays_to_explode=exploded or None)


def rarity_columns(profile: str = "standard") -> tuple[str, ...]:
    """The columns whose values' frequencies adjust the weight of a level."""
    return tuple(
        dict.fromkeys(
            level.rarity_of for each in comparisons(profile) for level in each.levels if level.rarity_of
        )
    )


def _splink_comparison(each: Comparison, strangers: Mapping[str, float]) -> cl.CustomComparison:
    return cl.CustomComparison(
        comparison_levels=[
            _splink_level(level).configure(u_probability=strangers[level.name])
            if level.name in strangers
            else _splink_level(level)
            if each.learned_from == "pairs" or level.tells_nothing
            else _weightless(_splink_level(level))
            for level in each.levels
        ],
        output_column_name=each.name,
        comparison_description=each.says,
    )


def _weightless(level: cll.CustomLevel | cll.ElseLevel) -> cll.CustomLevel | cll.ElseLevel:
    return level.configure(
        m_probability=0.5, u_probability=0.5, fix_m_probability=True, fix_u_probability=True
    )


def _splink_level(level: Level) -> cll.CustomLevel | cll.ElseLevel:
    if level.when is None:
        return cll.ElseLevel().configure(label_for_charts=level.name)
    made = cll.CustomLevel(level.when, label_for_charts=level.name)
    if level.tells_nothing:
        return made.configure(is_null_level=True)
    if level.rarity_of:
        return made.configure(
            tf_adjustment_column=level.rarity_of, tf_adjustment_weight=1.0, tf_minimum_u_value=RAREST_NAME
        )
    return made
