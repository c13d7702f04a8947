"""HUD's codes and what they become; docs/formats/hmis-csv.md has them with their sources."""

NIGHT_BY_NIGHT, STREET_OUTREACH = "1", "4"

PROJECT_TYPES = {
    "0": "es_entry_exit",
    "1": "es_night_by_night",
    "2": "transitional",
    "3": "permanent_supportive",
    "4": "street_outreach",
    "6": "services_only",
    "7": "other",
    "8": "safe_haven",
    "9": "other",
    "10": "other",
    "11": "services_only",
    "12": "services_only",
    "13": "rapid_rehousing",
    "14": "services_only",
}

HOUSING = ("3", "9", "10", "13")
"""Permanent housing: the person lives there from MoveInDate on, which may be long after the enrollment."""

STAYS = ("0", "2", "8", *HOUSING)

BED_NIGHT = "200"

DESTINATIONS = {
    "204": "psychiatric_hospital",
    "205": "treatment",
    "206": "hospital",
    "207": "jail",
    "24": "deceased",
    **dict.fromkeys(("8", "9", "17", "30", "37", "99"), "unknown"),
}

DESTINATION_GROUPS = {"1": "homeless", "2": "institutional", "3": "temporary", "4": "permanent"}
"""Three-digit living situations by their first digit."""

RACES = {
    "AmIndAKNative": "american_indian_alaska_native",
    "Asian": "asian",
    "BlackAfAmerican": "black_african_american",
    "HispanicLatinao": "hispanic_latino",
    "MidEastNAfrican": "middle_eastern_north_african",
    "NativeHIPacific": "native_hawaiian_pacific_islander",
    "White": "white",
}

GENDERS_BEYOND_TWO = ("NonBinary", "CulturallySpecific", "DifferentIdentity")

YES_TO_DISABILITY = {
    **dict.fromkeys(("5", "6", "7", "9"), ("1",)),
    "10": ("1", "2", "3"),
}
"""Responses that mean yes, by DisabilityType: physical, developmental, chronic, mental health; substance use.
HIV/AIDS (8) is not among them: its rows are passed over, and not even counted."""
