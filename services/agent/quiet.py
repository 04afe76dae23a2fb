"""Quiet hours as a player writes them: "18:00-23:00", "sat 10:00-24:00", "mon-fri 22:00-06:00". Pure.

They are said of the clock on the wall, and asked with what it shows: where it is turned for summer time, an hour that comes
twice is quiet twice and one that is left out never comes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN: Final = 24 * 60
HOURS_MAX: Final = 32
"""Of one file; more is no plan but a mistake."""
ALLOWED: Final = 'a list as ["18:00-23:00", "sat 10:00-24:00", "mon-fri 22:00-06:00"], at most 32'
_DAY: Final = "|".join(DAYS)
_WRITTEN: Final = re.compile(rf"(?:({_DAY})(?:-({_DAY}))? )?(\d\d?):(\d\d)-(\d\d?):(\d\d)")


@dataclass(frozen=True, slots=True)
class Hours:
    """days: on which they begin, 0 is Monday. begin, end: minutes of the day; an end not after the begin is on the next day."""

    days: frozenset[int]
    begin: int
    end: int

    def cover(self, local: datetime) -> bool:
        """local: as the clock on the wall shows it."""
        day, minute = local.weekday(), local.hour * 60 + local.minute
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or ((day - 1) % 7 in self.days and minute < self.end)

    @property
    def until(self) -> str:
        """As a clock shows the end."""
        return f"{self.end // 60:02d}:{self.end % 60:02d}"


def hours_of(written: str) -> Hours:
    """
    Raises:
        ValueError: they are written otherwise.
    """
    found = _WRITTEN.fullmatch(written)
    if found is None:
        raise ValueError(ALLOWED)
    first, last, *clock = found.groups()
    begin_h, begin_min, end_h, end_min = map(int, clock)
    begin, end = begin_h * 60 + begin_min, end_h * 60 + end_min
    if begin_min > 59 or end_min > 59 or begin >= DAY_MIN or end > DAY_MIN or begin == end:
        raise ValueError(ALLOWED)
    if first is None:
        days = frozenset(range(7))
    else:
        a, b = DAYS.index(first), DAYS.index(last or first)
        days = frozenset((a + n) % 7 for n in range((b - a) % 7 + 1))
    return Hours(days, begin, end)


def is_quiet_list(found: Sequence[object]) -> bool:
    """Whether a setting may be this."""
    try:
        return len(found) <= HOURS_MAX and all(isinstance(one, str) and bool(hours_of(one)) for one in found)
    except ValueError:
        return False
