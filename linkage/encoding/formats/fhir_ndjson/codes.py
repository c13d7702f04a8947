"""Codes of FHIR resources and what they become; docs/formats/fhir-ndjson.md has them with their sources."""

ADMISSION_CLASSES = ("IMP", "ACUTE", "NONAC")

VISIT_CLASSES = ("AMB", "VR", "HH", "FLD", "SS")

DISPOSITIONS = {
    "home": "home",
    "alt-home": "home",
    "other-hcf": "transferred",
    "hosp": "other",
    "long": "nursing_facility",
    "aadvice": "ama",
    "exp": "expired",
    "psy": "psychiatric",
    "rehab": "transferred",
    "snf": "nursing_facility",
    "oth": "other",
}
"""http://terminology.hl7.org/CodeSystem/discharge-disposition."""

PATIENT_STATUSES = {
    "01": "home", "02": "transferred", "03": "nursing_facility", "04": "nursing_facility", "05": "transferred",
    "06": "home", "07": "ama", "09": "admitted", "20": "expired", "21": "law_enforcement", "30": "still_patient",
    "40": "expired", "41": "expired", "42": "expired", "43": "transferred", "50": "other", "51": "other",
    "61": "transferred", "62": "transferred", "63": "transferred", "64": "nursing_facility", "65": "psychiatric",
    "66": "transferred", "69": "other", "70": "other", "81": "home", "82": "transferred",
    "83": "nursing_facility", "84": "nursing_facility", "85": "transferred", "86": "home",
    "87": "law_enforcement", "88": "transferred", "89": "transferred", "90": "transferred",
    "91": "transferred", "92": "nursing_facility", "93": "psychiatric", "94": "transferred", "95": "other",
}  # fmt: skip
"""UB-04 patient status (FL 17), as NUBC and HL7 v2 table 0112 have it."""

ADMIT_SOURCES = {
    "hosp-trans": "transfer",
    "emd": "other",
    "outp": "clinic",
    "born": "other",
    "gp": "clinic",
    "mp": "clinic",
    "nursing": "transfer",
    "psych": "transfer",
    "rehab": "transfer",
    "other": "other",
}
"""http://terminology.hl7.org/CodeSystem/admit-source."""

POINTS_OF_ORIGIN = {
    "1": "home", "2": "clinic", "4": "transfer", "5": "transfer", "6": "transfer", "8": "law_enforcement",
    "D": "transfer", "E": "clinic", "F": "transfer", "G": "other",
}  # fmt: skip
"""UB-04 point of origin (FL 15); 9 is not known."""

UNKNOWN_ORIGINS = ("9",)

FROM_ED = "emd"

MODE_OF_ARRIVAL = "http://hl7.org/fhir/StructureDefinition/encounter-modeOfArrival"

ARRIVED_BY_AMBULANCE = ("A", "H")  # HL7 v2 table 0430: ambulance, helicopter

UB04_SYSTEMS = ("nubc", "v2-0112", "v2-0023", "2.16.840.1.113883.6.301")

ICD10_SYSTEMS = ("http://hl7.org/fhir/sid/icd-10-cm", "urn:oid:2.16.840.1.113883.6.90")

SSN_SYSTEMS = ("http://hl7.org/fhir/sid/us-ssn", "urn:oid:2.16.840.1.113883.4.1")

SNOMED = "http://snomed.info/sct"

MENTAL_HEALTH_SERVICES = frozenset(
    {
        (SNOMED, "310116000"),  # psychiatry service
        (SNOMED, "310117009"),  # child and adolescent psychiatry service
        (SNOMED, "394587001"),  # psychiatry
        (SNOMED, "394588006"),  # child and adolescent psychiatry
        ("http://terminology.hl7.org/CodeSystem/service-category", "22"),  # mental health
        ("http://nucc.org/provider-taxonomy", "273R00000X"),  # psychiatric unit
        ("http://nucc.org/provider-taxonomy", "283Q00000X"),  # psychiatric hospital
        ("http://nucc.org/provider-taxonomy", "2084P0800X"),  # psychiatry
        ("http://nucc.org/provider-taxonomy", "261QM0801X"),  # community mental health clinic
        ("http://nucc.org/provider-taxonomy", "251S00000X"),  # community behavioral health agency
    }
)
"""Codes of Encounter.serviceType and Encounter.type that make a stay psychiatric and a visit behavioral."""

SUBSTANCE_USE_SERVICES = frozenset(
    {
        ("http://terminology.hl7.org/CodeSystem/service-category", "12"),  # drug/alcohol
        ("http://nucc.org/provider-taxonomy", "261QR0405X"),  # substance use disorder rehabilitation clinic
        ("http://nucc.org/provider-taxonomy", "324500000X"),  # substance abuse rehabilitation facility
    }
)
"""Codes that make a visit behavioral but not a stay psychiatric."""

PSYCHIATRIC_ROOMS = ("0114", "0124", "0134", "0144", "0154", "0204")  # NUBC revenue codes

CPT_SYSTEM, HCPCS_SYSTEMS = "http://www.ama-assn.org/go/cpt", ("hcpcs", "2.16.840.1.113883.6.285")

PSYCHIATRY_PROCEDURES = range(90785, 90900)  # CPT section Psychiatry

RACE_EXTENSION = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"

ETHNICITY_EXTENSION = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity"

RACES = {
    "1002-5": "american_indian_alaska_native",
    "2028-9": "asian",
    "2054-5": "black_african_american",
    "2076-8": "native_hawaiian_pacific_islander",
    "2106-3": "white",
    "2118-8": "middle_eastern_north_african",
    "2135-2": "hispanic_latino",
}
"""ombCategory of US Core race and ethnicity (CDC Race & Ethnicity); other codes say nothing for the list."""

GENDERS = {"male": "M", "female": "F", "other": "X", "unknown": "U"}

OFFICIAL_FIRST = ("official", "usual", None, "maiden", "old", "nickname", "anonymous", "temp")

NOT_CONFIRMED = ("entered-in-error", "refuted")

DROPPED_STATUSES = {
    "cancelled": "cancelled encounters",
    "entered-in-error": "encounters entered in error",
    "planned": "planned encounters",
}
