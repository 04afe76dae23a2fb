"""When the player has his machine to himself: his word, quiet hours, ceilings; and no flapping."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.agent.pausing import CROSSED_MS, GAP_MS, KEPT_MS, Look, Pausing, Rules, Why, Word
from services.agent.quiet import hours_of

FAST = settings(derandomize=True, deadline=None, database=None)
STEP_MS = 5_000
T0 = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp() * 1000)
CEILINGS = Rules(cpu_ceiling=50, ram_floor_mb=4_000)


class Machine:
    """A pausing and its clock."""

    def __init__(self, rules: Rules, now_ms: int = T0) -> None:
        self.pausing, self.now_ms = Pausing(rules), now_ms
        self.word: Word | None = None

    def look(
        self, cpu: float | None = 0.0, free_mb: float = 16_000.0, own_mb: float = 0.0, step_ms: int = STEP_MS
    ) -> Why | None:
        self.now_ms += step_ms
        local = datetime.fromtimestamp(self.now_ms / 1000, UTC)
        pause = self.pausing.look(Look(self.now_ms, local, cpu, free_mb, own_mb), self.word)
        return pause.why if pause is not None else None

    def looks(
        self, seconds: float, cpu: float | None = 0.0, free_mb: float = 16_000.0, own_mb: float = 0.0
    ) -> list[Why | None]:
        return [self.look(cpu, free_mb, own_mb) for _ in range(int(seconds * 1000 / STEP_MS))]


def test_nothing_set_never_pauses():
    assert set(Machine(Rules()).looks(600, cpu=100.0, free_mb=0.0)) == {None}


def test_the_players_word_holds_until_he_or_its_time_says_otherwise():
    machine = Machine(Rules())
    machine.word = Word(T0, until_ms=T0 + 60_000)

    assert set(machine.looks(55)) == {Why.PLAYER}
    assert set(machine.looks(60)) == {None}
    machine.word = Word(T0)
    assert set(machine.looks(3_600)) == {Why.PLAYER}
    machine.word = None
    assert machine.look() is None


def test_quiet_hours_hold_and_the_players_word_comes_before_them():
    machine = Machine(Rules(quiet=(hours_of("12:00-12:30"),)))

    assert set(machine.looks(1_795)) == {Why.QUIET}
    machine.word = Word(machine.now_ms)
    assert machine.look() is Why.PLAYER
    machine.word = None
    assert set(machine.looks(60)) == {None}


@pytest.mark.parametrize(
    ("busy", "why"), [({"cpu": 60.0}, Why.CPU), ({"free_mb": 3_900.0}, Why.RAM), ({"cpu": 60.0, "free_mb": 1.0}, Why.CPU)]
)
def test_a_ceiling_counts_once_it_was_crossed_for_a_while_and_until_it_was_kept_for_longer(busy: dict[str, float], why: Why):
    machine = Machine(CEILINGS)

    assert set(machine.looks(CROSSED_MS / 1000, **busy)) == {None}
    assert machine.look(**busy) is why
    assert set(machine.looks(KEPT_MS / 1000)) == {why}
    assert machine.look() is None


def test_a_short_peak_is_no_game_and_a_short_calm_is_not_its_end():
    machine = Machine(CEILINGS)

    for _ in range(20):
        assert set(machine.looks(10, cpu=90.0)) == {None}
        assert machine.look(cpu=10.0) is None
    machine.looks(30, cpu=90.0)
    for _ in range(20):
        assert set(machine.looks(50, cpu=10.0)) == {Why.CPU}
        assert machine.look(cpu=90.0) is Why.CPU


def test_between_ceiling_and_room_nothing_changes():
    machine = Machine(CEILINGS)

    assert set(machine.looks(600, cpu=45.0, free_mb=4_500.0)) == {None}
    machine.looks(30, cpu=90.0)
    assert set(machine.looks(600, cpu=45.0)) == {Why.CPU}


def test_memory_that_maps_gave_back_is_no_room_for_them():
    """Free only because the maps have ended: taking them again would cross the floor at once."""
    machine = Machine(CEILINGS)

    machine.looks(20, free_mb=3_500.0, own_mb=2_500.0)
    assert set(machine.looks(600, free_mb=6_000.0)) == {Why.RAM}
    machine.looks(65, free_mb=6_600.0)
    assert machine.look(free_mb=6_600.0) is None


def test_what_was_seen_before_a_gap_says_nothing():
    machine = Machine(CEILINGS)

    machine.looks(10, cpu=90.0)
    assert machine.look(cpu=90.0, step_ms=GAP_MS + 1) is None
    assert machine.look(cpu=90.0) is None
    machine.looks(15, cpu=90.0)
    assert machine.look(step_ms=-3_600_000) is Why.CPU, "the clock was set back: nothing is over by that"
    assert set(machine.looks(KEPT_MS / 1000 - 5)) == {Why.CPU}
    machine.looks(10)
    assert machine.look() is None


def test_unknown_use_of_the_processor_decides_nothing():
    machine = Machine(CEILINGS)

    assert set(machine.looks(60, cpu=None)) == {None}
    machine.looks(30, cpu=90.0)
    assert set(machine.looks(600, cpu=None)) == {Why.CPU}


def test_since_is_the_beginning_and_the_words_stay_the_same():
    machine = Machine(CEILINGS)
    machine.looks(20, cpu=90.0)
    first = machine.pausing.pause
    machine.looks(60, cpu=97.0)

    assert machine.pausing.pause == first


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 16_000), st.floats(0, 4_000)), max_size=200))
@FAST
def test_whatever_is_measured_it_never_flaps(seen: list[tuple[float, float, float]]):
    """Between two changes there is at least the time that each of them asks for."""
    machine, changes, before = Machine(CEILINGS), [], None
    for cpu, free_mb, own_mb in seen:
        now = machine.look(cpu, free_mb, own_mb)
        if (now is None) != (before is None):
            changes.append((machine.now_ms, now))
        before = now

    for (first_ms, _), (second_ms, why) in pairwise(changes):
        assert second_ms - first_ms >= (KEPT_MS if why is None else CROSSED_MS)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 16_000)), max_size=60), st.booleans())
@FAST
def test_looking_again_decides_alike(seen: list[tuple[float, float]], word: bool):
    one, other = Machine(CEILINGS), Machine(CEILINGS)
    one.word = other.word = Word(T0) if word else None

    assert [one.look(*look) for look in seen] == [other.look(*look) for look in seen]
