"""Choices from a kept list are those a search of the whole fleet would make, one by one, look after look."""

from collections.abc import Collection
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import Fact, HostId, MapAssign, MapName, Region, Stream
from libs.hosting import ranking as ranking_module
from libs.hosting import shortlist as shortlist_module
from libs.hosting.fleet import Fleet
from libs.hosting.ranking import Choice, Ranking
from libs.hosting.world import World
from tests.unit.builders import T0, assign, host_up, log_of, rules

REGIONS = ("eu", "us", "asia")
RULES = rules()


def a_fleet(rng: Random, hosts: int, specs: int) -> Fleet:
    """specs: how many different machines there are; few make many equal scores."""
    world = World()
    fleet = Fleet(world, RULES)
    machines = [(rng.uniform(100, 900), {Region(region): rng.uniform(2, 90) for region in REGIONS}) for _ in range(specs)]
    events = []
    for number in range(hosts):
        speed, rtts = rng.choice(machines)
        events.append(
            host_up(
                f"h{number}",
                net_mbps=speed,
                region_rtt_ms=rtts,
                region=Region(rng.choice(REGIONS)),
                network=f"n{rng.randrange(6)}",
                slots=rng.randint(1, 4),
            )
        )
    for fact in log_of(events).facts:
        world.apply(fact)
        fleet.mark(fact.event.host)
    return fleet


def searched(fleet: Fleet, name: MapName, region: Region, backups: int, without: Collection[HostId] = ()) -> Choice | None:
    """The first choice of a ranking in a look is never from a list."""
    return Ranking(fleet).choose(name, {region: 1}, backups, cooling={}, without=without)


@given(seed=st.integers(0, 10**6), hosts=st.integers(1, 60), specs=st.integers(1, 40), backups=st.integers(0, 3))
def test_every_choice_of_a_look_is_the_searched_one(seed: int, hosts: int, specs: int, backups: int) -> None:
    rng = Random(seed)
    fleet = a_fleet(rng, hosts, specs)
    ranking = Ranking(fleet)
    said: list[tuple[MapName, list[str]]] = []
    fleet.begin(T0)

    for number in range(60):
        name, region = MapName(f"m{number}"), Region(rng.choice(REGIONS))
        crowded = {host.id for host in fleet.hosts if rng.random() < 0.2} if rng.random() < 0.5 else set()
        chosen = ranking.choose(name, {region: 1}, backups, cooling={}, crowded=crowded)

        assert chosen == searched(fleet, name, region, backups, crowded)
        for host in chosen.hosts[:2] if chosen else ():
            fleet.take(host)
        if rng.random() < 0.1 and chosen:
            fleet.take(chosen.hosts[0], -1)
        if chosen and rng.random() < 0.3:
            said.append((name, chosen.hosts))
        if rng.random() < 0.3:
            fleet.end()
            tell(fleet, said, rng)
            fleet.begin(T0 + number)


def tell(fleet: Fleet, said: list[tuple[MapName, list[str]]], rng: Random) -> None:
    """Between two looks: some of what was decided is committed, some of it is taken elsewhere, a host says more."""
    events = [assign(name, hosts[0], hosts[1:]) for name, hosts in said]
    said.clear()
    if rng.random() < 0.2:
        number = rng.randrange(len(fleet.world.hosts))
        events.append(host_up(f"h{number}", net_mbps=rng.uniform(100, 900), slots=rng.randint(0, 4)))
    if rng.random() < 0.3:
        events += [assign(name, None) for name, state in fleet.world.maps.items() if state.assign and rng.random() < 0.3]
    world = fleet.world
    for event in events:
        stream = event.declaration.stream
        seq = (world.hosts_seq if stream is Stream.HOSTS else world.assignments_seq) + 1
        before = world.map(event.map).assign if isinstance(event, MapAssign) else None
        world.apply(Fact(stream, seq, event))
        if isinstance(event, MapAssign):
            fleet.mark_use(before, world.map(event.map).assign)
        else:
            fleet.mark(event.host)


@pytest.mark.parametrize("length", [1, 8, 9, 12])
def test_a_list_too_short_to_tell_says_so(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist_module, "LENGTH", length)
    test_every_choice_of_a_look_is_the_searched_one.hypothesis.inner_test(seed=7, hosts=60, specs=40, backups=2)


def test_the_list_is_used_and_not_only_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = a_fleet(Random(3), 200, 200)
    ranking = Ranking(fleet)
    fleet.begin(T0)
    ranking.choose(MapName("m0"), {Region("eu"): 1}, 2, cooling={})
    monkeypatch.setattr(ranking_module.Ranking, "_scores", lambda *_: pytest.fail("searched the fleet again"))

    chosen = [ranking.choose(MapName(f"m{number}"), {Region("eu"): 1}, 2, cooling={}) for number in range(5)]

    assert all(choice is not None and len(choice.hosts) == 3 for choice in chosen)
