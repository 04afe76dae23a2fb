"""libs/hosting/states.py: every transition there is, and the drawing of it in ARCHITECTURE.md."""

import re
from itertools import product
from pathlib import Path

from libs.hosting.states import Change, HostState, Standing, standing_of
from libs.hosting.world import World
from tests.unit.builders import T0, Log, assign, ban, drain, host_down, host_up

NEW, ELIGIBLE, SERVING, SUSPECT = HostState.NEW, HostState.ELIGIBLE, HostState.SERVING, HostState.SUSPECT
DRAINING, DOWN, BLACKLISTED = HostState.DRAINING, HostState.DOWN, HostState.BLACKLISTED

TRANSITIONS: dict[tuple[HostState, Change], set[HostState]] = {
    (NEW, Change.UP): {ELIGIBLE},
    (NEW, Change.EXCLUDED): {BLACKLISTED},
    (ELIGIBLE, Change.GIVEN): {SERVING},
    (ELIGIBLE, Change.SUSPECTED): {SUSPECT},
    (ELIGIBLE, Change.DRAINED): {DRAINING},
    (ELIGIBLE, Change.DOWN): {DOWN},
    (ELIGIBLE, Change.EXCLUDED): {BLACKLISTED},
    (SERVING, Change.TAKEN): {ELIGIBLE},
    (SERVING, Change.SUSPECTED): {SUSPECT},
    (SERVING, Change.DRAINED): {DRAINING},
    (SERVING, Change.DOWN): {DOWN},
    (SERVING, Change.EXCLUDED): {BLACKLISTED},
    (SUSPECT, Change.HEARD): {ELIGIBLE, SERVING, DRAINING},
    (SUSPECT, Change.UP): {ELIGIBLE, SERVING},
    (SUSPECT, Change.DOWN): {DOWN},
    (SUSPECT, Change.EXCLUDED): {BLACKLISTED},
    (DRAINING, Change.UNDRAINED): {ELIGIBLE, SERVING},
    (DRAINING, Change.SUSPECTED): {SUSPECT},
    (DRAINING, Change.DOWN): {DOWN},
    (DRAINING, Change.EXCLUDED): {BLACKLISTED},
    (DOWN, Change.UP): {ELIGIBLE, SERVING},
    (DOWN, Change.EXCLUDED): {BLACKLISTED},
    (BLACKLISTED, Change.PARDONED): {NEW, DOWN, ELIGIBLE, SERVING, SUSPECT, DRAINING},
}
"""Everything else changes no state."""


def reachable() -> set[Standing]:
    """Every standing that a host can come to, from the first."""
    found, new = set(), {Standing()}
    while new:
        found |= new
        new = {standing.after(change) for standing in new for change in Change} - found
    return found


def test_every_transition_from_every_reachable_standing_is_in_the_table_and_every_one_of_the_table_happens():
    happened: dict[tuple[HostState, Change], set[HostState]] = {}
    for standing, change in product(reachable(), Change):
        after = standing.after(change).state
        if after is not standing.state:
            happened.setdefault((standing.state, change), set()).add(after)

    assert happened == TRANSITIONS


def test_the_drawing_shows_the_table():
    page = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text(encoding="utf-8")
    drawn = {
        (HostState(one), Change(word), HostState(other))
        for one, other, words in re.findall(r"^ +(\w+) --> (\w+): ([\w, ]+)$", page, re.MULTILINE)
        for word in words.split(", ")
    }

    assert drawn == {(state, change, after) for (state, change), afters in TRANSITIONS.items() for after in afters}


def test_what_cannot_be_changes_nothing():
    for standing in reachable():
        assert not (standing.suspect and not standing.up)
        if standing.excluded or standing.draining:
            assert standing.after(Change.UP).up == standing.up, "nobody is brought up who is excluded or drained"
        if not standing.up:
            assert standing.after(Change.GIVEN) == standing
            assert standing.after(Change.SUSPECTED) == standing


def test_saying_the_same_twice_says_nothing_new():
    for standing, change in product(reachable(), Change):
        once = standing.after(change)
        assert once.after(change) == once


def state(*events, suspect=False):
    world = World()
    if events:
        Log(world.apply).say(*events)
    return standing_of(world.host("h1"), world, T0, suspect=suspect).state


def test_the_log_tells_the_standing():
    assert state() is NEW
    assert state(drain()) is NEW
    assert state(ban()) is BLACKLISTED
    assert state(host_up()) is ELIGIBLE
    assert state(host_up(), assign("m1", "h1")) is SERVING
    assert state(host_up(), assign("m1", "h2", ["h1"])) is ELIGIBLE, "a backup serves nobody"
    assert state(host_up(), assign("m1", "h1"), drain()) is DRAINING
    assert state(host_up(), assign("m1", "h1"), suspect=True) is SUSPECT
    assert state(host_up(), host_down(), suspect=True) is DOWN
    assert state(host_up(), ban(), host_down()) is BLACKLISTED
    assert state(host_up(), ban(until_ms=T0), host_down(), host_up()) is ELIGIBLE
