"""The parameter file read into typed values; an unknown or missing key is an error."""

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any, TypeVar

Section = TypeVar("Section")
BySource = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class PeopleParameters:
    """Who lives in the county."""

    household_sizes: list[float]
    lone_parent: float
    heads_of_an_age_with_children: float
    partner_same_surname: float
    same_race_in_household: float
    adult_ages: list[float]
    sex_x: float
    two_sexes: float
    twins: float
    twins_same_sex: float
    junior_senior: float
    junior_senior_years: list[int]
    namesakes: float
    middle_name: float
    changed_surname_women: float
    changed_surname_men: float
    compound_surname_hispanic: float
    compound_surname_other: float
    no_ssn: float
    no_ssn_hispanic: float
    lives_elsewhere: float
    moves_in_a_year: float
    zips: list[str]
    zips_elsewhere: list[str]
    race_ethnicity: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class NameParameters:
    """How frequencies follow from ranks, and how groups share lists."""

    surname_shift: float
    surname_power: float
    first_name_shift: float
    first_name_power: float
    rare_first_names: float
    first_name_of_own_group: dict[str, float]
    surname_of_own_group: dict[str, float]
    multiracial_own_group: float


@dataclass(frozen=True, kw_only=True)
class ConditionParameters:
    """Serious mental illness, substance use disorder, homelessness."""

    smi: float
    sud: float
    sud_given_smi: float
    sud_kinds: dict[str, float]
    homeless: float
    homeless_chronic: float
    homeless_times_smi: float
    homeless_times_sud: float


@dataclass(frozen=True, kw_only=True)
class JailParameters:
    """Bookings, screens and releases."""

    reach: float
    spread: float
    shared: float
    times_smi: float
    times_sud: float
    times_homeless: float
    times_black: float
    times_american_indian: float
    times_female: float
    peak_age: float
    usual_limit: float
    heavy: float
    heavy_rate: float
    reasons: dict[str, float]
    release_reasons: dict[str, float]
    felony: float
    misdemeanor: float
    median_days: float
    log_days_spread: float
    days_times_smi: float
    days_longest: float
    second_booking_while_in: float
    not_screened: float
    screen_sensitivity_men: float
    screen_sensitivity_women: float
    screen_false_positive: float
    assessed_when_positive: float
    assessment_sensitivity: float
    assessment_false_positive: float


@dataclass(frozen=True, kw_only=True)
class ShelterParameters:
    """Shelter nights, stays and outreach."""

    reach: float
    spread: float
    shared: float
    times_chronic: float
    uses_nights: float
    uses_stays: float
    uses_outreach: float
    stretches_a_year: float
    stretch_days: float
    nights_used: float
    stays_a_year: float
    contacts_a_year: float
    projects: dict[str, float]
    stay_days: dict[str, float]
    destinations: dict[str, float]
    ends_with_booking: float
    night_while_in_jail: float
    disabling_recorded: float


@dataclass(frozen=True, kw_only=True)
class HospitalParameters:
    """Emergency department visits, admissions and outpatient behavioral health."""

    reach: float
    spread: float
    shared: float
    times_smi: float
    times_sud: float
    times_homeless: float
    usual_limit: float
    heavy: float
    heavy_rate: float
    by_ambulance: float
    by_ambulance_condition: float
    by_ambulance_over_70: float
    hours_median: float
    admitted: float
    admitted_over_65: float
    inpatient_days: float
    psychiatric_days: float
    elective_admissions: float
    births: float
    in_bh_care_smi: float
    in_bh_care_sud: float
    in_bh_care_other: float
    bh_visits_a_year: float
    died: float


@dataclass(frozen=True, kw_only=True)
class EmsParameters:
    """Ambulance responses other than the rides to the emergency department."""

    other_responses_a_year: float
    no_patient_share: float
    second_unit: float
    second_unit_saw_patient: float
    interfacility_of_admissions: float
    taken_elsewhere: float
    medical_clearance_of_bookings: float
    ed_after_release_to_hospital: float
    ed_before_booking: float


@dataclass(frozen=True, kw_only=True)
class CrisisLineParameters:
    """Calls to a crisis line, where the county declares one."""

    calls_a_year: float
    youngest: float
    times_smi: float
    times_sud: float
    spread: float
    before_ambulance: float
    before_visit: float
    before_visit_ends: dict[str, float]
    before_booking: float
    ends: dict[str, float]
    no_outcome: float
    channels: dict[str, float]
    suicide_risk: float
    minutes_median: float


@dataclass(frozen=True, kw_only=True)
class LivesParameters:
    """What happens to people."""

    warm_up_days: int
    conditions: ConditionParameters
    jail: JailParameters
    shelter: ShelterParameters
    hospital: HospitalParameters
    ems: EmsParameters
    crisis_line: CrisisLineParameters


@dataclass(frozen=True, kw_only=True)
class RecordParameters:
    """What each agency writes down; rates by source name."""

    no_ssn: BySource
    last_four_only: BySource
    no_birth_date: BySource
    default_birth_date: BySource
    swapped_birth_date: BySource
    birth_digit_error: BySource
    no_name: BySource
    alias: BySource
    nickname: BySource
    typo: BySource
    names_swapped: BySource
    duplicate_client: BySource
    borrowed_identity: BySource
    overlay: BySource
    compound_variation: float
    alias_row: float
    suffix_absent: float
    identified_later: BySource
    invalid_ssn: float
    shared_ssn: float
    ssn_digit_error: float
    partial_birth_date: float
    middle_name_kept: BySource
    middle_initial: BySource
    old_surname: BySource
    old_surname_row: BySource
    accents_kept: BySource
    upper_case: BySource
    lower_case: BySource
    stray_space: BySource
    punctuation_lost: BySource
    wrong_sex: BySource
    unknown_sex: BySource
    no_race: BySource
    one_race_only: BySource
    hispanic_as_white: BySource
    no_zip: BySource
    no_zip_homeless: BySource


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The whole parameter file."""

    people: PeopleParameters
    names: NameParameters
    lives: LivesParameters
    records: RecordParameters


@cache
def shipped_parameters() -> Parameters:
    """The parameters in `parameters.toml`."""
    text = (resources.files("sample_data") / "parameters.toml").read_text(encoding="utf-8")
    return read_parameters(text)


def read_parameters(text: str) -> Parameters:
    """Parameters from TOML text; raises ValueError naming a section whose keys are not the declared ones."""
    declared = tomllib.loads(text)
    lives = dict(declared["lives"])
    parts = {
        "conditions": ConditionParameters,
        "jail": JailParameters,
        "shelter": ShelterParameters,
        "hospital": HospitalParameters,
        "ems": EmsParameters,
        "crisis_line": CrisisLineParameters,
    }
    lives.update({name: _section(kind, lives[name], f"lives.{name}") for name, kind in parts.items()})
    return Parameters(
        people=_section(PeopleParameters, declared["people"], "people"),
        names=_section(NameParameters, declared["names"], "names"),
        lives=_section(LivesParameters, lives, "lives"),
        records=_section(RecordParameters, declared["records"], "records"),
    )


def _section(kind: type[Section], values: dict[str, Any], name: str) -> Section:
    expected = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    wrong = expected.symmetric_difference(values)
    if wrong:
        raise ValueError(f"parameters.toml, section {name}: unknown or missing {', '.join(sorted(wrong))}")
    return kind(**values)
