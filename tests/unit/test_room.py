"""Hosts with a limit of players: what has room where, and what scorer and failover make of it (docs/adr/0027)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import Cause, HostId, HostUp, MapAssign, MapName, Stream
from libs.hosting.room import Room, players_given, room_gate, too_many
from libs.hosting.world import MapState, World
from tests.unit import hosting_oracle as oracle
from tests.unit.builders import (
    HOSTS,
    MAPS,
    T0,
    Log,
    assign,
    census,
    enter,
    histories,
    host_down,
    host_up,
    repeatable,
    rules,
)
from tests.unit.hosting_town import Town

COLD = rules(failover={"backup_hosts_count": 1, "warm_backups": 0})
ALONE = rules(failover={"backup_hosts_count": 0, "warm_backups": 0})


def limited(host: str = "small", keeps: int = 10, **values: Any) -> HostUp:
    """The better machine, so that its limit alone keeps a map from it. keeps: players, and one more may come."""
    return host_up(host, net_mbps=900, players_max=keeps + 1, **values)


def one(decisions: list[MapAssign]) -> MapAssign:
    assert len(decisions) == 1
    return decisions[0]


# Room is what the definition says, whatever was said before.


class Fed:
    """A room fed as the deciders feed theirs."""

    def __init__(self) -> None:
        self.world = World()
        self.room = Room(self.world)

    def on_fact(self, fact: Any) -> None:
        event = fact.event
        before = self.world.map(event.map).assign if isinstance(event, MapAssign) else None
        self.world.apply(fact)
        if isinstance(event, MapAssign):
            self.room.mark_use(before, self.world.map(event.map).assign)
        elif fact.stream is Stream.HOSTS and event is not None:
            self.room.mark(event.host)
        elif event is not None:
            self.room.mark_use(None, self.world.map(event.map).assign)

    def picture(self) -> object:
        states = [self.world.map(MapName(name)) for name in MAPS]
        fits = [(host, state.name) for host in map(HostId, HOSTS) for state in states if self.room.fits(host, state)]
        return [set(self.room.without(state)) for state in states], fits, self.room.over


def defined(world: World) -> object:
    """The same picture from the oracle."""
    up = oracle.up_hosts(world)
    states = [world.map(MapName(name)) for name in MAPS]
    over = sorted(h for h in up if up[h].players_max is not None and oracle.players_here(world, h) >= up[h].players_max)

    def without(state: MapState) -> set[HostId]:
        mine = state.assign.host if state.assign else None
        return {h for h in up if (h in over if h == mine else oracle.is_crowded(world, h, state, 80))}

    def fits(host: HostId, state: MapState) -> bool:
        limit = up[host].players_max if host in up else None
        return limit is None or oracle.players_here(world, host) + state.player_count < limit

    return [without(state) for state in states], [(h, s.name) for h in map(HostId, HOSTS) for s in states if fits(h, s)], over


@repeatable
@given(histories, st.sets(st.integers(0, 50)))
def test_room_is_what_the_definition_says_whatever_was_said_before(log: Log, looks: set[int]) -> None:
    fed = Fed()
    for number, fact in enumerate(log.facts):
        fed.on_fact(fact)
        if number in looks:
            fed.room.begin()
            assert fed.picture() == defined(fed.world)
    fed.room.begin()

    assert fed.picture() == defined(fed.world)
    for host, state in ((HostId(h), fed.world.map(MapName(m))) for h in HOSTS for m in MAPS):
        if fed.world.host(host).is_up and (state.assign is None or state.assign.host != host):
            assert (room_gate(fed.world, host, state.player_count) is not None) == (host in fed.room.without(state))
            assert (room_gate(fed.world, host, state.player_count, stands_by=True) is None) == fed.room.fits(host, state)


@repeatable
@given(histories, st.lists(st.tuples(st.sampled_from(HOSTS), st.sampled_from(MAPS)), max_size=8))
def test_a_draft_of_players_is_given_back_exactly(log: Log, gifts: list[tuple[str, str]]) -> None:
    fed = Fed()
    for fact in log.facts:
        fed.on_fact(fact)
    fed.room.begin()
    before = fed.picture()

    for host, name in gifts:
        fed.room.give(HostId(host), fed.world.map(MapName(name)))
    fed.room.end()

    assert fed.picture() == before


@repeatable
@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 20))
def test_maps_that_leave_suffice_and_none_of_them_could_stay(counts: list[int], limit: int) -> None:
    town = Town(limited("h1", limit, slots=9))
    for number, count in enumerate(counts):
        town.say(census(f"m{number}", eu=count), assign(f"m{number}", "h1"))

    leave = [state.player_count for state in too_many(town.world, HostId("h1"))]

    over = sum(counts) - limit
    assert sum(leave) >= over
    assert not leave or sum(leave) - min(leave) < over


def test_one_place_stays_free_and_a_fifth_of_the_others_where_a_map_is_given() -> None:
    assert [players_given(limit) for limit in (1, 2, 3, 4, 6, 11, 500)] == [0, 1, 1, 2, 4, 8, 399]


# The scorer.


@pytest.mark.parametrize(("players", "host"), [(7, "small"), (8, "large")])
def test_a_host_gets_a_map_only_if_a_fifth_of_its_places_stays_free(players: int, host: str) -> None:
    town = Town(limited(), host_up("large"), census("m1", eu=players), enter("m1"), settings=COLD)

    given = one(town.scored())

    assert (given.host, given.refused) == (host, {} if host == "small" else {"crowded": 1})
    assert given.backups == (["large"] if host == "small" else []), "who has no room backs no map either"


def test_players_of_its_other_maps_count() -> None:
    town = Town(limited(), census("m2", eu=8), assign("m2", "small"), enter("m1"), settings=COLD)

    given = one(town.scored())

    assert (given.kind, given.refused) == ("vps", {"crowded": 1})


def test_maps_of_one_look_share_the_room() -> None:
    full = [census(f"m{number}", eu=3) for number in range(4)]
    town = Town(limited(slots=9), *full, *(enter(f"m{number}") for number in range(4)), settings=ALONE)

    assert [decision.host for decision in town.scored()] == ["small", "small", None, None]


def on_small(players: int, *others: HostUp) -> Town:
    """m1 with so many players on the host `small`, which keeps 10."""
    words = (limited(), *others, assign("m1", "small"), census("m1", eu=players))
    return Town(*words, settings=COLD)


def test_a_map_stays_while_one_more_may_come_and_moves_with_the_enter_that_takes_the_last_place() -> None:
    town = on_small(9, host_up("large"))
    town.say(enter("m1"))
    assert town.scored() == []

    town.say(census("m1", eu=10))
    assert town.scored() == []
    town.say(enter("m1"))
    given = one(town.scored())

    assert (given.host, given.reason, given.tenure, given.refused) == ("large", "rebalance", None, {"crowded": 1})
    assert given.cause == Cause(stream="MAPS", seq=town.state().enter_seq)
    town.say(given)
    assert town.settle() == [], "and that is all"


def test_with_no_room_elsewhere_the_vps_takes_it_and_it_is_not_given_back_before_there_is_room() -> None:
    town = on_small(10, limited("other", 12))
    town.say(enter("m1"))
    given = one(town.scored())
    assert (given.kind, given.refused) == ("vps", {"crowded": 2})

    town.say(given, census("m1", eu=11))
    assert town.settle(T0 + 600_000) == []
    town.say(census("m1", eu=9))
    returned = town.settle(T0 + 600_000)

    assert [(one.host, one.reason) for one in returned] == [("other", "promote")]


def test_of_several_maps_the_fewest_players_that_suffice_are_moved() -> None:
    town = Town(limited(keeps=20, slots=9), host_up("large"), settings=ALONE)
    for name, players in (("m1", 12), ("m2", 6), ("m3", 1)):
        town.say(census(name, eu=players), assign(name, "small"))
    assert town.scored() == []

    town.say(census("m1", eu=15))

    assert [(decision.map, decision.host) for decision in town.scored()] == [("m2", "large")]


def test_a_limit_that_its_player_lowers_moves_what_is_too_much() -> None:
    town = on_small(6, host_up("large"))
    assert town.scored() == []

    town.say(limited(keeps=5))

    assert one(town.scored()).host == "large"


def test_a_host_that_says_no_limit_any_more_has_none() -> None:
    town = Town(limited(), limited(keeps=10), host_up("small"), census("m1", eu=99), enter("m1"), settings=ALONE)

    assert one(town.scored()).host == "small"


def test_without_the_vps_a_map_stays_where_it_is_too_much_until_somebody_has_room() -> None:
    town = Town(limited(), settings=rules(general={"enable_vps_fallback": 0}))
    town.say(assign("m1", "small"), census("m1", eu=11))
    assert town.settle() == []

    town.say(host_up("large"))

    assert one(town.settle()).host == "large"


def test_a_backup_that_has_no_room_any_more_makes_place_for_one_that_has() -> None:
    town = Town(limited(), host_up("h1"), host_up("h2"), settings=COLD)
    town.say(census("m1", eu=4), assign("m1", "h1", ["small"]), census("m2", eu=6), assign("m2", "small", ["h1"]))
    assert town.turn("m1", 60) == [], "it may be full, but not more"

    town.say(census("m2", eu=7))
    given = one([decision for decision in town.turn("m1", 60) if decision.map == "m1"])

    assert (given.host, given.backups, given.reason) == ("h1", ["h2"], "refill")


# Failover.


@pytest.mark.parametrize(("players", "heir"), [(10, "small"), (11, "large")])
def test_a_backup_inherits_as_many_as_it_keeps_and_no_more(players: int, heir: str) -> None:
    town = Town(limited(ready_maps=["m1"]), host_up("large", ready_maps=["m1"]), host_up("h1"))
    town.say(assign("m1", "h1", ["small", "large"]), census("m1", eu=players), host_down("h1"))

    given = one(town.failed())

    assert (given.host, given.refused.get("crowded")) == (heir, None if heir == "small" else 1)


def test_heirs_of_one_look_share_the_room() -> None:
    names = ["m1", "m2", "m3"]
    town = Town(limited(ready_maps=names, slots=9), host_up("h1"))
    for name in names:
        town.say(assign(name, "h1", ["small"]), census(name, eu=4))
    town.say(host_down("h1"))

    assert [decision.host for decision in town.failed()] == ["small", "small", None]


def test_without_the_vps_no_crowded_host_inherits() -> None:
    town = Town(limited(), host_up("h1"), settings=rules(general={"enable_vps_fallback": 0}))
    town.say(assign("m1", "h1"), census("m1", eu=9), host_down("h1"))
    assert town.failed() == []

    town.say(host_up("large"))

    assert one(town.failed()).host == "large"
