"""A start: from connect until the scorer's core has folded the log and done its first step, beside a bare read of the same.

python -m bench.rebuilding URL   does it once, in a process of its own; prints seconds as JSON
"""

import json
import sys
import time
from collections.abc import Iterator

import uvloop

from bench import facts, place
from bench.figures import Figure, Target
from bench.plan import Plan
from libs.bus.nats import connect
from libs.bus.port import Start
from libs.config import load
from libs.events import Event, NodeName
from libs.runtime.clock import Clock
from libs.runtime.service import CATCH_UP_TIMEOUT_S
from libs.runtime.shell import Shell
from libs.runtime.telemetry import Counters, start_telemetry
from services.scorer.shell import SERVICE

HOSTS = MAPS = 10_000
TARGET = Target("at most", 2.5)


async def rebuilding(plan: Plan) -> list[Figure]:
    kafra: list[float] = []
    bare: list[float] = []
    hosts, maps = plan.count(HOSTS), plan.count(MAPS)
    async with place.server(_log(hosts, maps)) as url:
        for number in range(plan.repeat):
            plan.say(f"start, {number + 1} of {plan.repeat}")
            bare.append((await place.ask("bench.bare", "rebuild", url, url=url))["seconds"])
            kafra.append((await place.ask("bench.rebuilding", url, url=url))["seconds"])
    return [
        Figure(
            name="start.10k",
            what=f"connect to first step of the scorer: {hosts} hosts (up, verdict), {maps} maps (enter, census, assign)",
            unit="s",
            kafra=kafra,
            bare=bare,
            target=TARGET,
            bare_is="plain nats-py, ordered consumers, last per subject, a callback that counts",
        )
    ]


def _log(hosts: int, maps: int) -> Iterator[Event]:
    ids = facts.host_ids(hosts)
    yield from facts.hosts(ids, slots=8)
    for number, name in enumerate(facts.map_names("map", maps)):
        yield facts.enter(name, number)
        yield facts.census(name)
        yield facts.assign(name, ids[number % hosts], [ids[(number + 1) % hosts], ids[(number + 2) % hosts]])


async def rebuild(url: str) -> float:
    """As libs.runtime.service does it: connect, follow, catch up, the first step."""
    settings, clock, counters = load(None, place.SETTINGS), Clock(), Counters()
    started_s = time.perf_counter()
    bus = await connect(url, name="scorer-00000000")
    core = SERVICE.make_core(settings, NodeName(bus.name), clock.now_ms())
    shell = Shell(core, bus, clock, counters, start_telemetry("scorer", bus.name, counters, 10))
    following = await bus.follow(SERVICE.follows, shell.on_fact, Start.LAST_PER_SUBJECT)
    await following.caught_up(CATCH_UP_TIMEOUT_S)
    shell.on_caught_up()
    core.step(clock.now_ms())
    seconds = time.perf_counter() - started_s
    shell.stop()
    await bus.close()
    return seconds


if __name__ == "__main__":
    print(json.dumps({"seconds": uvloop.run(rebuild(sys.argv[1]))}))
