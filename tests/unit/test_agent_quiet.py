"""Quiet hours: as they are written, over midnight, on the days they begin on, when the clock is turned."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.agent.quiet import DAY_MIN, DAYS, Hours, hours_of, is_quiet_list

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
FAST = settings(derandomize=True, deadline=None, database=None)
MINUTES = st.integers(0, DAY_MIN - 1)


def at(day: str, clock: str) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return MONDAY + timedelta(days=DAYS.index(day), hours=hour, minutes=minute)


@pytest.mark.parametrize(
    ("written", "quiet", "loud"),
    [
        ("18:00-23:00", ["mon 18:00", "sun 22:59"], ["mon 17:59", "sun 23:00"]),
        ("sat 10:00-24:00", ["sat 10:00", "sat 23:59"], ["sat 09:59", "sun 00:00", "fri 12:00"]),
        ("22:00-06:00", ["mon 22:00", "tue 00:00", "tue 05:59"], ["tue 06:00", "mon 21:59"]),
        ("fri 22:00-02:00", ["fri 22:00", "sat 01:59"], ["fri 01:00", "sat 02:00", "sat 22:00"]),
        ("sun 22:00-02:00", ["sun 23:00", "mon 01:00"], ["sun 01:00"]),
        ("mon-fri 09:00-17:00", ["mon 09:00", "fri 16:59"], ["sat 12:00", "sun 12:00"]),
        ("sat-mon 09:00-17:00", ["sat 10:00", "sun 10:00", "mon 10:00"], ["tue 10:00", "fri 10:00"]),
    ],
)
def test_they_cover_what_they_say(written: str, quiet: list[str], loud: list[str]):
    hours = hours_of(written)

    assert all(hours.cover(at(*moment.split())) for moment in quiet)
    assert not any(hours.cover(at(*moment.split())) for moment in loud)


@pytest.mark.parametrize(
    "written",
    ["", "18-23", "18:00-18:00", "24:00-25:00", "18:60-19:00", "day 18:00-23:00", "sat  10:00-11:00", "18:00-24:01", "1:2-3:4"],
)
def test_what_is_written_otherwise_is_refused(written: str):
    with pytest.raises(ValueError, match="18:00-23:00"):
        hours_of(written)
    assert not is_quiet_list([written])


def test_a_list_is_of_words_and_bounded():
    assert is_quiet_list(["18:00-23:00"] * 32)
    assert not is_quiet_list(["18:00-23:00"] * 33)
    assert not is_quiet_list([18])


@given(MINUTES, st.integers(1, DAY_MIN - 1), st.integers(0, 6), MINUTES)
@FAST
def test_each_day_is_quiet_for_as_long_as_written(begin: int, length: int, day: int, offset: int):
    """Over midnight or not: from its beginning on for its length, and not a minute more."""
    end = (begin + length) % DAY_MIN or DAY_MIN
    hours = Hours(frozenset({day}), begin, end)
    began = MONDAY + timedelta(days=day, minutes=begin)

    assert hours.cover(began + timedelta(minutes=offset)) == (offset < length)


def test_a_night_in_which_the_clock_is_turned_is_quiet_from_begin_to_end():
    """By the clock on the wall: one hour shorter in spring, one longer in autumn."""
    hours = hours_of("22:00-06:00")

    def quiet_min(evening: datetime) -> int:
        began = evening.replace(tzinfo=BERLIN).astimezone(UTC)
        moments = (began + timedelta(minutes=n) for n in range(24 * 60))
        return sum(hours.cover(moment.astimezone(BERLIN)) for moment in moments)

    assert quiet_min(datetime(2026, 3, 10, 12)) == 8 * 60  # noqa: DTZ001 - the zone is given above
    assert quiet_min(datetime(2026, 3, 28, 12)) == 7 * 60  # noqa: DTZ001
    assert quiet_min(datetime(2026, 10, 24, 12)) == 9 * 60  # noqa: DTZ001
