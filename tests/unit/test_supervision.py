"""When map-servers are started, drained, ended and started again: the core alone, on a clock of its own."""

import pytest

from libs.events import MapName
from services.agent.maps.core import (
    BACKOFF_MS,
    DRAIN_MS_MAX,
    FALLS_KEPT,
    FROZEN_MS,
    RELINK_MS,
    SETTLE_MS,
    START_MS_MAX,
    STEADY_MS,
    TERM_MS_MAX,
    Kill,
    Start,
    Supervision,
    Terminate,
)
from tests.unit.map_orders import DUNGEON, FIELD, ordered


def said(core: Supervision, name: MapName = FIELD) -> tuple[str, int, int] | None:
    report = core.reports().get(name)
    return None if report is None else (report.state, report.tenure, report.players)


@pytest.fixture
def ready() -> Supervision:
    """One map, ready at 2,000."""
    core = Supervision()
    core.obey({FIELD: ordered()}, 0)
    core.on_linked(FIELD, 2_000)
    return core


def test_a_map_ordered_is_started_and_ready_when_its_link_is() -> None:
    core = Supervision()

    assert core.obey({FIELD: ordered()}, 0) == [Start(FIELD)]
    assert said(core) == ("starting", 7, 0)
    core.on_linked(FIELD, 2_400)

    assert said(core) == ("ready", 7, 0)
    assert core.obey({FIELD: ordered()}, 3_000) == []


def test_a_link_that_tells_nothing_of_life_makes_nobody_frozen(ready: Supervision) -> None:
    assert ready.advance(2_000 + 10 * FROZEN_MS) == []


def test_a_new_tenure_or_role_needs_no_new_server(ready: Supervision) -> None:
    assert ready.obey({FIELD: ordered(9, "backup")}, 3_000) == []

    assert said(ready) == ("ready", 9, 0)


def test_what_is_not_linked_in_time_has_failed_and_is_killed() -> None:
    core = Supervision()
    core.obey({FIELD: ordered()}, 0)

    assert core.advance(START_MS_MAX - 1) == []
    assert core.advance(START_MS_MAX) == [Kill(FIELD)]

    assert said(core) == ("failed", 7, 0)
    assert core.on_exit(FIELD, "ended by signal 9", START_MS_MAX + 1) == []
    assert core.advance(START_MS_MAX + 1 + BACKOFF_MS[0]) == [Start(FIELD)]
    assert said(core) == ("starting", 7, 0)


def test_a_server_that_says_nothing_any_more_is_killed(ready: Supervision) -> None:
    ready.on_heard(FIELD, 5_000)
    ready.on_players(FIELD, 3)

    assert ready.advance(5_000 + FROZEN_MS - 1) == []
    assert ready.advance(5_000 + FROZEN_MS) == [Kill(FIELD)]
    assert said(ready) == ("failed", 7, 3)


def test_falls_make_the_wait_longer_up_to_a_bound_and_a_steady_time_begins_anew() -> None:
    core, now_ms, waits = Supervision(), 0, []
    core.obey({FIELD: ordered()}, now_ms)
    for _ in range(10):
        core.on_exit(FIELD, "ended with exit code 1", now_ms)
        assert said(core) == ("failed", 7, 0)
        due_ms = core.due_ms()
        assert due_ms is not None
        waits.append(due_ms - now_ms)
        now_ms = due_ms
        assert core.advance(now_ms) == [Start(FIELD)]

    core.on_linked(FIELD, now_ms)
    core.on_exit(FIELD, "ended by signal 11", now_ms + STEADY_MS)

    assert waits == [min(BACKOFF_MS[1], BACKOFF_MS[0] * 2**n) for n in range(10)]
    assert core.due_ms() == now_ms + STEADY_MS + BACKOFF_MS[0]
    assert core.falls[FIELD].last == "ended by signal 11"


def test_an_order_that_comes_back_does_not_shorten_the_wait() -> None:
    core = Supervision()
    core.obey({FIELD: ordered()}, 0)
    for at_ms in (0, 500, 1_500):
        core.on_exit(FIELD, "ended with exit code 1", at_ms)
        core.advance(at_ms + 2_000)
    core.on_exit(FIELD, "ended with exit code 1", 4_000)
    core.obey({}, 4_100)

    assert core.reports() == {}
    assert core.obey({FIELD: ordered(8)}, 4_200) == []
    assert said(core) == ("failed", 8, 0)
    assert core.advance(8_000) == [Start(FIELD)]


def test_what_is_ordered_no_more_waits_for_its_players(ready: Supervision) -> None:
    ready.on_heard(FIELD, 3_000)
    ready.on_players(FIELD, 2)

    assert ready.obey({}, 4_000) == []
    assert said(ready) == ("draining", 7, 2)
    ready.on_heard(FIELD, 4_500)
    ready.on_players(FIELD, 0)

    assert ready.advance(4_000 + SETTLE_MS - 1) == []
    assert ready.advance(4_000 + SETTLE_MS) == [Terminate(FIELD)]
    assert said(ready) == ("draining", 7, 0)
    assert ready.on_exit(FIELD, "ended with exit code 0", 5_700) == []
    assert ready.reports() == {}
    assert ready.falls == {}


def test_players_are_not_waited_for_for_ever(ready: Supervision) -> None:
    ready.on_heard(FIELD, 3_000)
    ready.on_players(FIELD, 2)
    ready.obey({}, 4_000)
    for at_ms in range(4_000, 4_000 + DRAIN_MS_MAX, 10_000):
        ready.on_heard(FIELD, at_ms)
    ready.on_players(FIELD, 2)

    assert ready.advance(4_000 + DRAIN_MS_MAX) == [Terminate(FIELD)]


def test_where_nobody_plays_somebody_may_still_be_coming_in(ready: Supervision) -> None:
    assert ready.obey({}, 4_000) == []
    ready.on_players(FIELD, 1)

    assert ready.advance(4_000 + SETTLE_MS) == []
    ready.on_players(FIELD, 0)

    assert ready.advance(4_000 + SETTLE_MS) == [Terminate(FIELD)]


def test_who_does_not_end_when_asked_is_killed(ready: Supervision) -> None:
    ready.obey({}, 4_000 - SETTLE_MS)
    ready.advance(4_000)

    assert ready.advance(4_000 + TERM_MS_MAX - 1) == []
    assert ready.advance(4_000 + TERM_MS_MAX) == [Kill(FIELD)]
    assert ready.advance(4_000 + 2 * TERM_MS_MAX) == []
    assert ready.on_exit(FIELD, "ended by signal 9", 15_000) == []
    assert ready.reports() == {}


def test_an_order_that_comes_back_while_draining_finds_the_server_as_it_was(ready: Supervision) -> None:
    ready.on_heard(FIELD, 3_000)
    ready.on_players(FIELD, 2)
    ready.obey({}, 4_000)

    assert ready.obey({FIELD: ordered(8)}, 4_100) == []

    assert said(ready) == ("ready", 8, 2)


def test_an_order_that_comes_back_while_it_ends_gets_a_new_server(ready: Supervision) -> None:
    ready.obey({}, 4_000 - SETTLE_MS)
    ready.advance(4_000)

    assert ready.obey({FIELD: ordered(8)}, 4_100) == []
    assert said(ready) == ("starting", 8, 0)

    assert ready.on_exit(FIELD, "ended with exit code 0", 4_200) == [Start(FIELD)]
    assert ready.falls == {}


def test_a_lost_link_is_waited_for_and_the_server_is_never_killed_for_it(ready: Supervision) -> None:
    ready.on_heard(FIELD, 3_000)
    ready.on_players(FIELD, 2)

    ready.on_gone(FIELD, 3_500)
    assert ready.advance(3_500 + RELINK_MS - 1) == []
    assert said(ready) == ("ready", 7, 2)
    assert ready.advance(3_500 + RELINK_MS) == []
    assert said(ready) == ("starting", 7, 2)
    assert ready.advance(3_500 + RELINK_MS + 10 * START_MS_MAX) == []
    ready.on_linked(FIELD, 900_000)

    assert said(ready) == ("ready", 7, 2)
    assert ready.due_ms() is None


def test_a_link_that_is_back_in_time_changes_nothing(ready: Supervision) -> None:
    ready.on_gone(FIELD, 3_500)
    ready.on_linked(FIELD, 4_500)

    assert ready.advance(3_500 + 2 * RELINK_MS) == []
    assert said(ready) == ("ready", 7, 0)


def test_players_of_a_server_without_a_link_are_waited_for_too(ready: Supervision) -> None:
    ready.on_players(FIELD, 2)
    ready.on_gone(FIELD, 3_500)
    ready.advance(3_500 + RELINK_MS)

    assert ready.obey({}, 20_000) == []
    assert said(ready) == ("draining", 7, 2)
    assert ready.advance(20_000 + DRAIN_MS_MAX) == [Terminate(FIELD)]


def test_a_server_that_falls_while_draining_is_not_started_again(ready: Supervision) -> None:
    ready.on_heard(FIELD, 3_000)
    ready.on_players(FIELD, 2)
    ready.obey({}, 4_000)

    assert ready.on_exit(FIELD, "ended by signal 11", 4_100) == []

    assert ready.reports() == {}
    assert ready.due_ms() is None


def test_at_the_end_all_are_asked_to_end_whoever_plays(ready: Supervision) -> None:
    ready.obey({FIELD: ordered(), DUNGEON: ordered()}, 3_000)
    ready.on_heard(FIELD, 3_000)
    ready.on_players(FIELD, 2)

    effects = ready.end(4_000)

    assert sorted(effects, key=lambda effect: effect.map) == [Terminate(FIELD), Terminate(DUNGEON)]


def test_falls_are_remembered_of_a_bounded_number_of_maps() -> None:
    core = Supervision()
    for n in range(FALLS_KEPT + 10):
        name = MapName(f"map_{n}")
        core.obey({name: ordered()}, n)
        core.on_exit(name, "no room", n)
        core.obey({}, n)

    assert len(core.falls) == FALLS_KEPT
    assert f"map_{FALLS_KEPT + 9}" in core.falls
