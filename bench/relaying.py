"""A relay beside a bare proxy: what it adds to a round trip, how much it lets through, a thousand players at once."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from bench.crossing import Crossing, Pair, Way, direct, pairs_of, ping_pong_us, pour, proxy, relay
from bench.figures import Figure, Target, percentile, rounded
from bench.plan import Plan
from tests.rathena.captured import Stream, streams

PLAYERS = 50
CROWD = 1_000
WINDOW_BYTES = 16 * 1024
"""Under way over all connections: a map-server says some hundred bytes at a time, and what it says is read at once."""
BULK_WINDOW_BYTES = 4 * 1024 * 1024
BULK_BYTES = 64 * 1024
WALK, WALK_OK = b"\x5f\x03\x32\x89\x2a", b"\x87\x00" + bytes(10)
UNWANTED = frozenset({0x0081, 0x006A, 0x0283, 0x0B18, 0x02EB, 0x0091, 0x0AC7, 0x00B3, 0x018B})
"""What moves a player or ends his session: the bench is about all the rest."""
LATENCY = Target("at most", 1.5)
THROUGHPUT = Target("at least", 0.5)
BARE_IS = "raw asyncio protocols on uvloop in a process of their own, same sockets"


@dataclass(frozen=True, slots=True)
class _Run:
    """cpu_us: of the process in between, a packet. crowd_mb: its memory with everybody connected."""

    p50_us: float
    p99_us: float
    rate: float
    cpu_us: float
    bulk_rate: float
    crowd_rate: float
    crowd_cpu_us: float
    crowd_mb: float


async def relaying(plan: Plan) -> list[Figure]:
    talk = Talk(streams("s2_login_play_portal"))
    raise_file_limit()
    nothing: list[float] = []
    bare: list[_Run] = []
    kafra: list[_Run] = []
    for number in range(plan.repeat):
        plan.say(f"relay, {number + 1} of {plan.repeat}")
        async with direct() as crossing:
            nothing.append(percentile(await _round_trips_us(plan, crossing), 0.5))
        bare.append(await _run(plan, proxy, talk))
        kafra.append(await _run(plan, relay, talk))
    return _figures(talk, kafra, bare, median(nothing))


class Talk:
    """What recorded map-servers said to players in play. chunks: as they were sent, whole packets each."""

    def __init__(self, recorded: Sequence[Stream]) -> None:
        servers = [stream for stream in recorded if stream.dir == "map>relay"]
        packets = [packet for stream in servers for packet in stream.packets() if packet.packet_id not in UNWANTED]
        moments = groupby(packets, key=lambda packet: (packet.leg, packet.t_ms))
        self.chunks = [b"".join(packet.packet for packet in together) for _, together in moments]
        self.packets = len(packets)
        self.bytes = sum(map(len, self.chunks))

    def bulk(self) -> Iterator[bytes]:
        whole = b"".join(self.chunks)
        return (whole[at : at + BULK_BYTES] for at in range(0, len(whole), BULK_BYTES))


async def _run(plan: Plan, way: Way, talk: Talk) -> _Run:
    """One process, all figures of it."""
    async with way() as crossing:
        process = crossing.process
        assert process is not None
        round_trips_us = await _round_trips_us(plan, crossing)
        rounds = plan.count(10)
        with closing(await pairs_of(crossing, PLAYERS)) as players:
            few = await asyncio.to_thread(pour, players, talk.chunks[::10], rounds, WINDOW_BYTES, process)
        with closing(await pairs_of(crossing, 1)) as one:
            bulk = await asyncio.to_thread(pour, one, list(talk.bulk()), rounds * 10, BULK_WINDOW_BYTES, process)
        with closing(await pairs_of(crossing, plan.count(CROWD))) as crowd:
            memory_mb = process.memory_info().rss / 1e6
            many = await asyncio.to_thread(pour, crowd, talk.chunks[::100], rounds, WINDOW_BYTES * 4, process)
        each = talk.packets / talk.bytes
        return _Run(
            p50_us=percentile(round_trips_us, 0.5),
            p99_us=percentile(round_trips_us, 0.99),
            rate=few.bytes * each / few.seconds,
            cpu_us=few.cpu_s / (few.bytes * each) * 1e6,
            bulk_rate=bulk.bytes * each / bulk.seconds,
            crowd_rate=many.bytes * each / many.seconds,
            crowd_cpu_us=many.cpu_s / (many.bytes * each) * 1e6,
            crowd_mb=memory_mb,
        )


async def _round_trips_us(plan: Plan, crossing: Crossing) -> list[float]:
    with closing(await pairs_of(crossing, 1)) as ((client, server),):
        await asyncio.to_thread(ping_pong_us, client, server, WALK, WALK_OK, 300)
        return await asyncio.to_thread(ping_pong_us, client, server, WALK, WALK_OK, plan.count(5_000))


@contextlib.contextmanager
def closing(pairs: list[Pair]) -> Iterator[list[Pair]]:
    try:
        yield pairs
    finally:
        for client, server in pairs:
            client.close()
            server.close()


def raise_file_limit() -> None:
    """A player is two sockets here and two in the relay."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _figures(talk: Talk, kafra: list[_Run], bare: list[_Run], nothing_us: float) -> list[Figure]:
    chunk_bytes = rounded(talk.bytes / len(talk.chunks))
    packets_a_chunk = rounded(talk.packets / len(talk.chunks))
    return [
        Figure(
            name="relay.latency",
            what="added to a client's round trip to its map-server: a walk and its answer, one at a time, p50",
            unit="us",
            kafra=[run.p50_us - nothing_us for run in kafra],
            bare=[run.p50_us - nothing_us for run in bare],
            target=LATENCY,
            bare_is=BARE_IS,
            details={
                "direct_p50_us": rounded(nothing_us),
                "kafra_p99_us": rounded(median(run.p99_us for run in kafra)),
                "bare_p99_us": rounded(median(run.p99_us for run in bare)),
            },
        ),
        Figure(
            name="relay.packets",
            what=f"packets from map-servers to {PLAYERS} players, written as recorded servers wrote them",
            unit="per s",
            kafra=[run.rate for run in kafra],
            bare=[run.rate for run in bare],
            target=THROUGHPUT,
            bare_is=BARE_IS,
            details={
                "chunk_bytes": chunk_bytes,
                "packets_a_chunk": packets_a_chunk,
                "kafra_cpu_us_each": rounded(median(run.cpu_us for run in kafra)),
                "bare_cpu_us_each": rounded(median(run.cpu_us for run in bare)),
            },
        ),
        Figure(
            name="relay.bulk",
            what="the same packets to one player as fast as TCP takes them: nothing but framing counts",
            unit="per s",
            kafra=[run.bulk_rate for run in kafra],
            bare=[run.bulk_rate for run in bare],
            bare_is=BARE_IS,
        ),
        Figure(
            name="relay.crowd",
            what=f"packets to {CROWD:,} players on one relay, all in the game",
            unit="per s",
            kafra=[run.crowd_rate for run in kafra],
            bare=[run.crowd_rate for run in bare],
            target=THROUGHPUT,
            bare_is=BARE_IS,
            details={
                "kafra_mb": rounded(median(run.crowd_mb for run in kafra)),
                "bare_mb": rounded(median(run.crowd_mb for run in bare)),
                "kafra_cpu_us_each": rounded(median(run.crowd_cpu_us for run in kafra)),
                "bare_cpu_us_each": rounded(median(run.crowd_cpu_us for run in bare)),
            },
        ),
    ]
