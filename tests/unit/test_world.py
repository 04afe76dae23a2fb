"""The fold: streams commute, repetition changes nothing, the last word of each subject suffices (DESIGN D2, D11)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import Basis, Event, Fact, Stream
from libs.hosting.world import FOREVER_MS, Host, MapState, World
from tests.unit.builders import (
    T0,
    Log,
    assign,
    ban,
    census,
    drain,
    enter,
    histories,
    host_down,
    host_up,
    log_of,
    moved,
    repeatable,
    verdict,
)


def folded(facts: list[Fact]) -> World:
    world = World()
    for fact in facts:
        world.apply(fact)
    return world


def pruned(world: World) -> World:
    """Without the empty entries the indexes keep of what is over."""
    world.serving = {host: maps for host, maps in world.serving.items() if maps}
    world.backing = {host: maps for host, maps in world.backing.items() if maps}
    world.failing = {name: hosts for name, hosts in world.failing.items() if hosts}
    return world


@repeatable
@given(histories, st.data())
def test_streams_may_interleave_in_any_way(log: Log, data: st.DataObject) -> None:
    queues = {stream: [fact for fact in log.facts if fact.stream is stream] for stream in Stream}
    picks = data.draw(st.permutations([fact.stream for fact in log.facts]))

    shuffled = [queues[stream].pop(0) for stream in picks]

    assert folded(shuffled) == folded(log.facts)


@repeatable
@given(histories, st.data())
def test_hearing_a_fact_again_changes_nothing(log: Log, data: st.DataObject) -> None:
    world = folded(log.facts)

    for fact in data.draw(st.lists(st.sampled_from(log.facts), max_size=10)) if log.facts else []:
        world.apply(fact)

    assert world == folded(log.facts)


@repeatable
@given(histories, st.data())
def test_the_last_word_of_each_subject_suffices_at_any_cut(log: Log, data: st.DataObject) -> None:
    cut = Log()
    for fact in log.facts[: data.draw(st.integers(0, len(log.facts)))]:
        cut.say(fact.event) if fact.event else cut.junk(fact.stream)

    assert pruned(folded(cut.last_per_subject())) == pruned(folded(cut.facts))


@repeatable
@given(histories)
def test_the_indexes_equal_a_recount(log: Log) -> None:
    world = folded(log.facts)

    pruned(world)

    assigns = [state.assign for state in world.maps.values() if state.assign]
    ups = [host.up for host in world.hosts.values() if host.up]
    assert world.serving == {
        host: {one.map for one in assigns if one.host == host} for host in {one.host for one in assigns if one.host}
    }
    assert world.backing == {
        host: {one.map: one.backups.index(host) for one in assigns if host in one.backups}
        for host in {backup for one in assigns for backup in one.backups}
    }
    assert world.failing == {
        name: {up.host for up in ups if name in up.failed_maps} for name in {name for up in ups for name in up.failed_maps}
    }


@repeatable
@given(histories)
def test_reading_changes_nothing(log: Log) -> None:
    world = folded(log.facts)

    world.host("nobody").excluded(T0)
    assert world.map("nowhere").tenure == 0

    assert world == folded(log.facts)


@pytest.mark.parametrize("stream", [Stream.HOSTS, Stream.MAPS, Stream.ASSIGNMENTS])
def test_what_cannot_be_read_only_moves_the_position(stream: Stream) -> None:
    log = log_of([host_up(), enter(), assign()])
    before, world = folded(log.facts), folded(log.facts)

    world.apply(log.junk(stream))

    assert getattr(world, f"{stream.lower()}_seq") == 2
    assert (world.hosts, world.maps, world.serving) == (before.hosts, before.maps, before.serving)


def test_other_streams_are_not_folded() -> None:
    world = World()

    world.apply(Fact(Stream.METRICS, 5, host_up()))

    assert world == World()


def test_a_host_is_up_from_its_last_up_to_its_next_down() -> None:
    host = Host("h1")
    assert not host.is_up

    world = folded(log_of([host_up(), host_down(disconnects_ms=[T0])]).facts)
    assert not world.hosts["h1"].is_up
    assert world.hosts["h1"].disconnects_ms == [T0]

    world = folded(log_of([host_down(), host_up()]).facts)
    assert world.hosts["h1"].is_up
    assert world.hosts["h1"].fact_seq == 2


@pytest.mark.parametrize(
    ("said", "until_ms"),
    [
        ([verdict()], 0),
        ([verdict(blacklisted_until_ms=T0 + 5)], T0 + 5),
        ([verdict(blacklisted_until_ms=T0 + 5), verdict()], 0),
        ([verdict(blacklisted_until_ms=T0 + 5), ban(until_ms=T0 + 9)], T0 + 9),
        ([verdict(blacklisted_until_ms=T0 + 9), ban(until_ms=T0 + 5)], T0 + 9),
        ([ban()], FOREVER_MS),
        ([ban(), ban(until_ms=T0)], T0),
    ],
)
def test_the_longer_of_blacklisting_and_ban_excludes_a_host(said: list[Event], until_ms: int) -> None:
    host = folded(log_of([host_up(), *said]).facts).hosts["h1"]

    assert host.excluded_until_ms == until_ms
    assert host.excluded(T0) is (until_ms > T0)
    assert not host.excluded(until_ms)
    assert until_ms == 0 or host.excluded(until_ms - 1)


def test_a_host_drains_by_its_own_word_or_by_the_operators() -> None:
    assert folded(log_of([host_up(draining=True)]).facts).host("h1").draining
    assert folded(log_of([host_up(), drain()]).facts).host("h1").draining
    assert not folded(log_of([host_up(), drain(), drain(draining=False)]).facts).host("h1").draining


def state_of(*said: Event) -> MapState:
    return folded(log_of(said).facts).map("m1")


def test_an_enter_counts_until_the_next_census_or_the_assignment_that_had_read_it() -> None:
    assert state_of(census(eu=2), enter(region="us")).players == {"eu": 2, "us": 1}
    assert state_of(enter(), enter()).players == {"eu": 1}
    assert state_of(enter(), census(eu=2)).players == {"eu": 2}
    assert state_of(enter(), assign(basis=Basis(0, 1, 0))).players == {}
    assert state_of(census(), enter(), assign(basis=Basis(0, 1, 0))).players == {"eu": 1}


def test_a_map_wants_a_server_because_of_its_pending_enter_else_of_its_census() -> None:
    assert state_of(census(eu=1), enter()).demand_seq == 2
    assert state_of(enter(), census(eu=1)).demand_seq == 2
    assert state_of(enter(), census(eu=1)).has_players
    assert not state_of(enter(), census(eu=0)).has_players


def test_a_refill_carries_the_tenure_on_and_any_other_assignment_begins_one() -> None:
    assert state_of(assign("m2"), assign()).tenure == 2
    assert state_of(assign(), assign(tenure=1, reason="refill")).tenure == 1
    assert state_of(assign(), assign(reason="failover")).tenure == 2


def test_a_move_that_failed_counts_for_its_own_tenure_only() -> None:
    assert state_of(assign(), moved(tenure=1, outcome="rolled_back")).move_failed
    assert state_of(assign(), moved(tenure=1, outcome="vps")).move_failed
    assert not state_of(assign(), moved(tenure=1)).move_failed
    assert not state_of(assign(), moved(tenure=1, outcome="vps"), assign()).move_failed
    assert state_of(assign(), moved(tenure=1, outcome="vps"), assign(tenure=1)).move_failed


def test_primaries_and_warm_backups_take_slots() -> None:
    world = folded(log_of([assign("m1", "h1", ["h2", "h3"]), assign("m2", "h2", ["h1", "h3"])]).facts)

    def used(warm: int) -> list[int]:
        return [world.used_slots(host, warm) for host in ("h1", "h2", "h3")]

    assert used(warm=0) == [1, 1, 0]
    assert used(warm=1) == [2, 2, 0]
    assert used(warm=2) == [2, 2, 2]
