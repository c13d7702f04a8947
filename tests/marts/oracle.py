"""What the relations of sql/ should say, in boring Python: loops over one person's encounters, no cleverness."""

import calendar
import datetime as dt
import itertools
from collections import defaultdict
from dataclasses import dataclass, field

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
HOSPITALS = ("hospital_ed", "freestanding_ed", "hospital_bed", "mental_health_facility")
STAYS = {"booking", "bed_night", "stay", "ed", "inpatient", "observation", "psychiatric"}
WINDOWS = {"6_months": 6, "12_months": 12, "24_months": 24, "36_months": 36, "60_months": 60}


@dataclass(kw_only=True)
class Judged:
    """An encounter as the mart should show it."""

    person: str
    given: object
    ended_at: dt.datetime | None
    reason: str | None = None
    episode_id: str = ""
    incident: list = field(default_factory=list)

    @property
    def order(self):
        return (self.given.started_at, self.given.source, self.given.encounter_id)


def judged_encounters(encounters, person_of, as_of):
    """Every encounter before the as-of date, with why it does not count and which episode it belongs to."""
    midnight = dt.datetime.combine(as_of, dt.time())
    judged = [
        Judged(
            person=person_of[each.source, each.client_id],
            given=each,
            ended_at=each.ended_at if each.ended_at and each.ended_at <= midnight else None,
            reason=own_reason(each),
            episode_id=each.encounter_id,
        )
        for each in encounters
        if each.started_at < midnight
    ]
    of_person = defaultdict(list)
    for each in sorted(judged, key=lambda each: each.order):
        of_person[each.person].append(each)
    for everything in of_person.values():
        group_units(everything)
        for side in ("custody", "shelter", "health"):
            chain(
                [each for each in everything if each.reason is None and side_of(each.given) == side],
                side,
                midnight,
            )
        for each in everything:
            if each.reason == "further_unit":
                each.episode_id = each.incident[0].given.encounter_id
    return judged


def own_reason(given):
    own = given.own
    if given.source == "ems":
        if own.get("patient_contact") is not True:
            return "no_patient_contact"
        if own.get("service_requested") in ("interfacility_transfer", "other_transport"):
            return "routine_transport"
    if given.kind == "stay":
        project = own.get("project_type")
        if project == "es_night_by_night":
            return "night_by_night_stay"
        if project not in (None, "es_entry_exit", "transitional", "safe_haven"):
            return "not_a_shelter_stay"
    return None


def side_of(given):
    if given.source == "jail":
        return "custody"
    if given.kind in ("bed_night", "stay"):
        return "shelter"
    if given.source == "ems" or given.kind in ("ed", "inpatient", "observation", "psychiatric"):
        return "health"
    return None


def group_units(everything):
    incident, latest = [], None
    for each in everything:
        if each.given.source != "ems" or each.reason:
            continue
        if latest is None or each.given.started_at > latest + HOUR:
            incident = []
        else:
            each.reason = "further_unit"
        incident.append(each)
        each.incident = incident
        latest = each.given.started_at


def chain(countable, side, midnight):
    before = []
    for each in countable:
        if before and continues(each, before, side, midnight):
            each.episode_id = before[-1].episode_id
        before.append(each)


def continues(each, before, side, midnight):
    start, last = each.given.started_at, before[-1]
    if side == "custody":
        return any(start <= (other.ended_at or other.given.started_at) for other in before)
    if side == "shelter":
        return any(start < occupied(other, midnight)[1] + 7 * DAY for other in before)
    if each.given.kind == "response":
        return False
    if last.given.kind == "response":
        brought = any(
            unit.given.own.get("transported") and unit.given.own.get("destination_type") in HOSPITALS
            for unit in last.incident
        )
        return brought and start <= last.given.started_at + 24 * HOUR
    if any(other.ended_at and start < other.ended_at for other in before if other.given.kind != "response"):
        return True
    handed_on = last.given.own.get("disposition") in (
        "admitted",
        "psychiatric",
        "transferred",
        "still_patient",
    )
    if each.given.kind == "ed":
        handed_on = last.given.own.get("disposition") == "transferred"
    return handed_on and start <= (last.ended_at or last.given.started_at) + 24 * HOUR


def occupied(each, midnight):
    """The time that a stay counts for."""
    start = each.given.started_at
    if each.given.kind == "bed_night":
        day = dt.datetime.combine(start.date(), dt.time())
        return day, day + DAY
    return start, each.ended_at or midnight


def used(judged, as_of):
    """(person, source, kind or 'any', window): encounters, episodes, days."""
    midnight = dt.datetime.combine(as_of, dt.time())
    starts = {name: months_before(as_of, months) for name, months in WINDOWS.items()}
    windows = {name: dt.datetime.combine(day, dt.time()) for name, day in starts.items()}
    windows["30_days"] = midnight - 30 * DAY
    windows["calendar_year"] = dt.datetime.combine(dt.date((as_of - DAY).year, 1, 1), dt.time())
    found = {}
    countable = [each for each in judged if each.reason is None]
    scopes = {
        (each.person, each.given.source, kind) for each in countable for kind in (each.given.kind, "any")
    }
    for person, source, kind in scopes:
        mine = [
            each
            for each in countable
            if each.person == person and each.given.source == source and kind in (each.given.kind, "any")
        ]
        for window, begin in windows.items():
            started = [each for each in mine if begin <= each.given.started_at]
            stays = [occupied(each, midnight) for each in mine if each.given.kind in STAYS]
            seconds = seconds_covered(stays, begin, midnight)
            in_stay = any(start < midnight and end > begin and start < end for start, end in stays)
            if started or in_stay:
                episodes = {each.episode_id for each in started}
                found[person, source, kind, window] = (len(started), len(episodes), round(seconds / 86400, 4))
    return found


def seconds_covered(stays, begin, end):
    """Between each two neighbouring moments everything is either covered or not."""
    moments = sorted({begin, end} | {moment for stay in stays for moment in stay if begin < moment < end})
    return sum(
        (later - earlier).total_seconds()
        for earlier, later in itertools.pairwise(moments)
        if any(start <= earlier and later <= stop for start, stop in stays)
    )


def months_before(day, months):
    """The same day so many months before, or the last of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def window_begins(rule, day):
    """First day of a rule's window at an as-of date `day`."""
    if "within_months" in rule:
        return months_before(day, rule["within_months"])
    if "within_days" in rule:
        return day - rule["within_days"] * DAY
    if "within" in rule:
        return dt.date((day - DAY).year, 1, 1)
    return dt.date.min


def holds(rule, mine, day, as_of):
    """Whether a rule of the county file holds for a person with these encounters, at an as-of date `day`."""
    if "all" in rule:
        return all(holds(part, mine, day, as_of) for part in rule["all"])
    if "any" in rule:
        return any(holds(part, mine, day, as_of) for part in rule["any"])
    if "of" in rule:
        return sum(holds(part, mine, day, as_of) for part in rule["of"]) >= rule["at_least"]
    begin = window_begins(rule, day)
    if "any_flag" in rule:
        return any(
            begin <= each.given.started_at.date() < day
            and any(flagged(each.given, flag) for flag in rule["any_flag"])
            for each in mine
        )
    countable = [each for each in mine if each.reason is None]
    if "systems_with" in rule:
        met = {
            each.given.source
            for each in countable
            if each.given.kind in rule["systems_with"]
            and each.given.started_at.date() < day
            and last_day(each, as_of) >= begin
        }
        return len(met) >= rule["at_least"]
    if "days" in rule:
        stayed = {
            each.given.started_at.date() + number * DAY
            for each in countable
            if each.given.kind in rule["days"]
            for number in range((last_day(each, as_of) - each.given.started_at.date()).days + 1)
        }
        return sum(begin <= on < day for on in stayed) >= rule["at_least"]
    if "first" in rule:
        first = {}
        for later in countable:
            followed = any(
                earlier is not later
                and earlier.given.kind in rule["first"]
                and 0 <= (later.given.started_at.date() - last_day(earlier, as_of)).days <= rule["gap_days"]
                for earlier in countable
            )
            if later.given.kind in rule["then"] and followed:
                started = later.given.started_at.date()
                first[later.episode_id] = min(started, first.get(later.episode_id, started))
        return sum(begin <= started < day for started in first.values()) >= rule["at_least"]
    count = counted(rule["count"], rule.get("only", []), countable, begin, day)
    return rule["at_least"] <= count <= rule.get("at_most", count)


def counted(kinds, only, countable, begin, day):
    """Episodes of these kinds that began from `begin` to before `day`."""
    first = {}
    for each in countable:
        if each.given.kind in kinds and all(each.given.own.get(fact) for fact in only):
            started = each.given.started_at.date()
            first[each.episode_id] = min(started, first.get(each.episode_id, started))
    return sum(begin <= started < day for started in first.values())


def flagged(given, flag):
    if flag == "screened_positive":
        return given.own.get("smi_screen") == "positive"
    if flag == "disabling_condition":
        return given.own.get("disabling_condition") is True
    return getattr(given, flag) is True


def last_day(each, as_of):
    start = each.given.started_at
    if each.given.kind not in STAYS or each.given.kind == "bed_night":
        return start.date()
    end = each.ended_at or dt.datetime.combine(as_of, dt.time())
    return max(start, end - dt.timedelta(microseconds=1)).date()


def membership(rule, mine, as_of):
    """(is_member, entered_on, left_on), or None where the rule did not hold in the last twelve months."""
    begin, day = months_before(as_of, 12), as_of
    while not holds(rule, mine, day, as_of):
        day -= DAY
        if day < begin:
            return None
    last = day
    while holds(rule, mine, day, as_of):
        day -= DAY
    return last == as_of, day, None if last == as_of else last
