"""The best hosts for one map: Ranking.choose beside a plain Python loop over all hosts. Both find the same."""

import time

from bench import facts, place
from bench.figures import Figure
from bench.plan import Plan
from libs.config import Settings, load
from libs.events import Fact, HostId, MapName, Region, Stream
from libs.hosting.fleet import Fleet
from libs.hosting.ranking import Ranking
from libs.hosting.score import score_ppm, tie_break
from libs.hosting.world import World

HOSTS = (100, 1_000, 10_000)
BACKUPS = 2
PLAYERS = {facts.REGIONS[0]: 3, facts.REGIONS[1]: 1}


async def choosing(plan: Plan) -> list[Figure]:
    return [_choose(plan, count) for count in HOSTS]


def _choose(plan: Plan, count: int) -> Figure:
    plan.say(f"choose of {count} hosts")
    rules = load(None, place.SETTINGS)
    world = World()
    fleet = Fleet(world, rules)
    for seq, event in enumerate(facts.hosts(facts.host_ids(count)), 1):
        world.apply(Fact(Stream.HOSTS, seq, event))
    for host in world.hosts:
        fleet.mark(host)
    fleet.begin(facts.AT_MS)
    ranking = Ranking(fleet)
    names = facts.map_names("map", plan.count(2_000))
    kafra, plain = [], []
    for _ in range(plan.repeat):
        few = names[: max(1, 1_000 // count)]
        started_s = time.perf_counter()
        expected = [_plain(world, rules, name, PLAYERS) for name in few]
        plain.append((time.perf_counter() - started_s) / len(few) * 1e6)
        started_s = time.perf_counter()
        found = [ranking.choose(name, PLAYERS, BACKUPS, cooling={}) for name in names]
        kafra.append((time.perf_counter() - started_s) / len(names) * 1e6)
        assert [choice.hosts for choice in found[: len(few)] if choice] == expected
    return Figure(
        name=f"choose.{count}",
        what=f"the best host and {BACKUPS} backups of {count}, with the 8 best as candidates",
        unit="us",
        kafra=kafra,
        bare=plain,
        bare_is="a plain Python loop over all hosts",
    )


def _plain(world: World, rules: Settings, name: MapName, players: dict[Region, int]) -> list[HostId]:
    """The best by score; then those that share fewest of region and network with it, then by score."""
    scored = [
        (-score_ppm(host.up, players, 0, rules), tie_break(name, host.id), host.up)
        for host in world.hosts.values()
        if host.up is not None
    ]
    first = min(scored)[2]
    rest = [
        ((up.region == first.region) + (up.network == first.network), score, tie, up.host)
        for score, tie, up in scored
        if up is not first
    ]
    return [first.host, *(host for *_, host in sorted(rest)[:BACKUPS])]
