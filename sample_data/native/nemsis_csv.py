"""The simulated county's ambulance responses as a NEMSIS 3.5 CSV, with further units' reports on some of them."""

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from sample_data.native import NativeWriter

_NOT_RECORDED, _REFUSED, _UNABLE = "7701003", "8801019", "8801023"
_OFFSET = "-08:00"

_SERVICES = {
    "emergency": "2205001",
    "intercept": "2205003",
    "mutual_aid": "2205009",
    "interfacility_transfer": "2205005",
    "other_transport": "2205007",
    "public_assistance": "2205011",
    "standby": "2205013",
    "mobile_integrated_health": "2205031",
    "special_referral": "2205033",
}
_DESTINATIONS = {
    "hospital_ed": "4221003",
    "freestanding_ed": "4221023",
    "hospital_bed": "4221005",
    "clinic": "4221007",
    "jail": "4221019",
    "urgent_care": "4221021",
    "mental_health_facility": "4221031",
    "rehab": "4221039",
    "home": "4221001",
    "morgue": "4221009",
    "other": "4221013",
}
_SEXES = {"F": "9919001", "M": "9919003", "U": "9919005"}
_DEPRECATED_GENDERS = {"F": "9906001", "M": "9906003", "U": "9906005", "X": "9906011"}
_RACES = {
    "american_indian_alaska_native": "2514001",
    "asian": "2514003",
    "black_african_american": "2514005",
    "hispanic_latino": "2514007",
    "native_hawaiian_pacific_islander": "2514009",
    "white": "2514011",
    "middle_eastern_north_african": "2514013",
}
_NAME_NULLS = {None: _NOT_RECORDED, "Refused": _REFUSED, "Unable to Complete": _UNABLE}
_EVERY_FURTHER_UNIT = 6
_POISONINGS_BY_OPIOIDS = ("T40.0", "T40.1", "T40.2", "T40.3", "T40.4", "T40.6")
_INTENTS = "1234"  # accident, self-harm, assault, undetermined; 5 and 6 are no poisonings


def write_nemsis_csv(
    people: pl.DataFrame, encounters: pl.DataFrame, folder: Path, *, covers_from: date, covers_to: date
) -> None:
    """Write patient_care_reports.csv: one row per response, and a further unit's report on every sixth ride.

    The further units' reports are what a reader must count once, so that reading gives the template again.
    """
    identities = {person["client_id"]: person for person in people.iter_rows(named=True)}
    reports: list[dict[str, str | None]] = []
    for place, encounter in enumerate(encounters.iter_rows(named=True)):
        report = _report(place, encounter, identities[encounter["client_id"]])
        reports.append(report)
        if encounter["transported"] == "true" and place % _EVERY_FURTHER_UNIT == 0:
            reports.append(_further_unit(report, encounter["started_at"]))
    table = pl.DataFrame(reports, infer_schema_length=None) if reports else pl.DataFrame()
    table.select(pl.all().cast(pl.String)).write_csv(folder / "patient_care_reports.csv")


def _report(
    place: int, encounter: dict[str, str | None], person: dict[str, str | None]
) -> dict[str, str | None]:
    codes = (encounter["impression_codes"] or "").split(";")
    sex = person["sex"]
    is_deprecated = sex == "X" or place % 2 == 1
    contact, transported = encounter["patient_contact"] == "true", encounter["transported"] == "true"
    taken = encounter["destination_type"]
    races = [_RACES[race] for race in (person["race_ethnicity"] or "").split(";") if race]
    return {
        "eRecord.01": encounter["encounter_id"],
        "eResponse.03": f"I{encounter['encounter_id']}",
        "eResponse.05": _SERVICES[encounter["service_requested"] or "emergency"],
        "eDispatch.01": "2301051",
        "ePatient.01": encounter["client_id"],
        "ePatient.02": _name(person["last_name"]),
        "ePatient.03": _name(person["first_name"]),
        "ePatient.04": person["middle_name"],
        "ePatient.23": person["name_suffix"],
        "ePatient.09": person["zip"] or _NOT_RECORDED,
        "ePatient.12": person["ssn"],
        "ePatient.13": _DEPRECATED_GENDERS.get(sex or "") if is_deprecated else None,
        "ePatient.14": "|".join(races) or _NOT_RECORDED,
        "ePatient.17": person["birth_date"] or _NOT_RECORDED,
        "ePatient.22": "2522001" if any(code.startswith("Z59.0") for code in codes) else None,
        "ePatient.25": None if is_deprecated else _SEXES.get(sex or ""),
        "eTimes.01": _zoned(encounter["started_at"]),
        "eTimes.03": _zoned(encounter["started_at"]),
        "eTimes.12": _zoned(encounter["ended_at"]) if transported else None,
        "eTimes.13": _zoned(encounter["ended_at"]),
        "eSituation.11": codes[0] or _NOT_RECORDED,
        "eSituation.12": "|".join(codes[1:]) or None,
        "eProtocols.01": _protocols(codes) if contact else None,
        "eMedications.03": "7242" if "T40.1X1A" in codes else None,
        "eDisposition.21": _DESTINATIONS[taken] if taken else "7701001",
        "eDisposition.27": "4227001" if contact else "4227009",
        "eDisposition.30": "4230001" if transported else "4230013",
        "eDisposition.31": "4231007" if encounter["released_to_law_enforcement"] == "true" else None,
    }


def _further_unit(report: dict[str, str | None], started_at: str) -> dict[str, str | None]:
    """The report of the engine that was there a minute later and drove nobody."""
    later = (datetime.fromisoformat(started_at) + timedelta(minutes=1)).isoformat()
    return report | {
        "eRecord.01": f"{report['eRecord.01']}-E2",
        "eTimes.03": _zoned(later),
        "eTimes.12": None,
        "eDisposition.21": "7701001",
        "eDisposition.30": "4230005",
    }


def _name(written: str | None) -> str:
    return _NAME_NULLS.get(written) or str(written)


def _zoned(written: str | None) -> str | None:
    return None if written is None else written + _OFFSET


def _protocols(codes: list[str]) -> str | None:
    poisonings = [code for code in codes if code.startswith("T4") and code[6:7] in _INTENTS and code[6:7]]
    if any(code.startswith(_POISONINGS_BY_OPIOIDS) for code in poisonings):
        return "9914219"
    return "9914135" if poisonings else "9914075"


WRITERS = (NativeWriter(name="nemsis-csv", source="ems", format="nemsis-csv", write=write_nemsis_csv),)
