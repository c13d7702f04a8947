"""NEMSIS codes and what they become; docs/formats/nemsis-csv.md has them with their sources."""

import re

SERVICES: dict[str, str | None] = {
    "2205001": "emergency",
    "2205003": "intercept",
    "2205009": "mutual_aid",
    "2205005": "interfacility_transfer",
    "2205015": "interfacility_transfer",
    "2205017": "interfacility_transfer",
    "2205019": "interfacility_transfer",
    "2205007": "other_transport",
    "2205011": "public_assistance",
    "2205013": "standby",
    "2205021": None,  # support services
    "2205023": None,  # non-patient care rescue or extrication
    "2205031": "mobile_integrated_health",
    "2205033": "special_referral",
}
"""eResponse.05, grouped. The two without a group are kept: whether a patient was met tells what they were."""

NO_PATIENT_SERVICES = ("2205025", "2205027", "2205029", "2205035")
"""Crew transport, organs or body parts, mortuary services, administrative operations."""

DESTINATIONS = {
    "4221001": "home",
    "4221003": "hospital_ed",
    "4221005": "hospital_bed",
    "4221007": "clinic",
    "4221009": "morgue",
    "4221013": "other",
    "4221015": "other",
    "4221017": "other",
    "4221019": "jail",
    "4221021": "urgent_care",
    "4221023": "freestanding_ed",
    "4221025": "clinic",
    "4221027": "clinic",
    "4221029": "home",
    "4221031": "mental_health_facility",
    "4221033": "other",
    "4221035": "other",
    "4221037": "other",
    "4221039": "rehab",
    "4221041": "other",
}
"""eDisposition.21, grouped. Assisted living is where somebody lives; physical rehabilitation is no `rehab`."""

SEXES = {
    "9919001": "F", "9919003": "M", "9919005": "U",
    "9906001": "F", "9906003": "M", "9906005": "U", "9906007": "M", "9906009": "F", "9906011": "X",
}  # fmt: skip
"""ePatient.25 Sex and the deprecated ePatient.13 Gender."""

RACES = {
    "2514001": "american_indian_alaska_native",
    "2514003": "asian",
    "2514005": "black_african_american",
    "2514007": "hispanic_latino",
    "2514009": "native_hawaiian_pacific_islander",
    "2514011": "white",
    "2514013": "middle_eastern_north_african",
}
"""ePatient.14."""

CONTACTS = {
    "4227001": "true",
    **dict.fromkeys(("4227003", "4227005", "4227007", "4227009", "4227011"), "false"),
}

BY_THIS_UNIT = ("4230001", "4230003")

TRANSPORTED = {
    **dict.fromkeys((*BY_THIS_UNIT, "4230005", "4230007"), "true"),
    **dict.fromkeys(("4230009", "4230011", "4230013"), "false"),
}

TO_LAW_ENFORCEMENT = "4231007"

PROTOCOL_IMPRESSIONS = {
    "9914219": "T40.604A",
    "9914225": "T43.604A",
    "9914215": "T44.7X4A",
    "9914217": "T46.1X4A",
    "9914135": "T50.904A",
}
"""eProtocols.01 of a poisoning and the ICD-10-CM code of it, of undetermined intent: opioids, stimulants, beta
blockers, calcium channel blockers, not further known."""

OVERDOSE_CALL, UNKNOWN_POISONING = "2301053", "T50.904A"

POISONING = re.compile(r"T(?:3[6-9]|4[0-9]|50)")

BEHAVIORAL_CODES = {
    "eDispatch.01": "2301059", "eSituation.08": "2808001", "eProtocols.01": "9914053", "eSituation.20": "2820023",
}  # fmt: skip

STRANGE_BEHAVIOR = "R46.89"

HOMELESS, HOMELESS_IMPRESSION, HOMELESS_PREFIXES = "2522001", "Z59.00", ("Z59.0", "Z590")

NALOXONE = r"(?i)(?:^|[^0-9])7242(?:$|[^0-9])|naloxone"  # RxNorm 7242
