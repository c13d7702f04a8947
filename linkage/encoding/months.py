"""Months as deliveries name them, `YYYY-MM`, and the half-open window of days that a month covers."""

import re
from datetime import date

_MONTH = re.compile(r"((?:19|20)[0-9]{2})-(0[1-9]|1[0-2])")


def is_month(text: str) -> bool:
    """Whether `text` names a month as `YYYY-MM`, 1900 to 2099."""
    return _MONTH.fullmatch(text) is not None


def month_window(month: str) -> tuple[date, date]:
    """First day of `month` and first day of the month after; raises ValueError when it is not `YYYY-MM`."""
    found = _MONTH.fullmatch(month)
    if found is None:
        raise ValueError("a month is written YYYY-MM")
    year, number = int(found[1]), int(found[2])
    return date(year, number, 1), date(year + number // 12, number % 12 + 1, 1)
