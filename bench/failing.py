"""host.down of a host that serves 1,000 maps -> all 1,000 committed map.assign. The real failover beside 1,000 bare writes."""

from statistics import median

from bench import facts, place
from bench.driver import driver, messages
from bench.figures import Figure, Target, rounded
from bench.plan import Plan
from libs.config import load
from libs.events import Event, Fact, NodeName, Stream, encode
from libs.hosting.effects import Append
from libs.hosting.looks import DecidingCore
from services.failover.core import Failover

MAPS = 1_000
SLOTS = 2_000
HOSTS = 50
TARGET = Target("at most", 2.0)


async def failing(plan: Plan) -> list[Figure]:
    log, size = _log(), failover_bytes()
    kafra: list[float] = []
    acknowledged: list[float] = []
    seen: list[float] = []
    for number in range(plan.repeat):
        plan.say(f"down, {number + 1} of {plan.repeat}")
        async with place.server(log) as url, driver(url) as driving:
            body = b"x" * size
            writes = [(f"map.assign.{name}", body) for name in facts.map_names("bare", MAPS)]
            acknowledged_ms, seen_ms = await driving.written_ms(writes)
            acknowledged.append(acknowledged_ms)
            seen.append(seen_ms)
        async with place.server(log) as url, place.process("failover", "services.failover", url=url), driver(url) as driving:
            (down,) = messages([facts.down(facts.host_ids(1)[0])])
            kafra.append(await driving.burst_ms(down, None, MAPS))
    return [
        Figure(
            name="down.1000",
            what=f"host.down of a host with {MAPS} maps to the last committed map.assign",
            unit="ms",
            kafra=kafra,
            bare=acknowledged,
            target=TARGET,
            bare_is=f"{MAPS} compare-and-set writes of plain nats-py, pipelined, until acknowledged",
            details={"bare_seen_by_ordered_consumer_ms": rounded(median(seen)), "assign_bytes": size},
        )
    ]


def _log() -> list[Event]:
    """Hosts, each with every map started; the first serves all maps, each backed by two others."""
    ids = facts.host_ids(HOSTS)
    names = facts.map_names("map", MAPS)
    others = ids[1:]
    log = list(facts.hosts(ids, slots=SLOTS, ready=names))
    for number, name in enumerate(names):
        backups = [others[number % len(others)], others[(number + 1) % len(others)]]
        log += [facts.census(name), facts.assign(name, ids[0], backups)]
    return log


def failover_bytes() -> int:
    """Size of the map.assign that failover writes here: the bare writes are as large."""
    core = DecidingCore(Failover(load(None, place.SETTINGS)), name=NodeName("failover-00000000"), config="0" * 16)
    seqs = dict.fromkeys(Stream, 0)
    for event in (*_log(), facts.down(facts.host_ids(1)[0])):
        stream = event.declaration.stream
        assert stream is not None
        seqs[stream] += 1
        core.on_fact(Fact(stream, seqs[stream], event), facts.AT_MS)
    core.on_caught_up(facts.AT_MS)
    writes = list(core.step(facts.AT_MS))
    assert len(writes) == MAPS, "the first look moves them all"
    assert isinstance(writes[0], Append)
    return len(encode(writes[0].event))
