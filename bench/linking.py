"""A host's link: how many bytes the recorded autosaves are on it, TLS included, and what a packet waits in it.

Agent and bridge end are processes of their own (link_ends.py). Beside it: the bytes as a map-server says them; the same
question and answer without a link, from one process to another.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from bench import place
from bench.bridging import free_port
from bench.figures import Bound, Figure, Target, percentile, rounded
from bench.plan import Plan
from libs.link.keys import link_keys
from libs.rathena.inter_link import Keepalive, KeepaliveAck
from libs.rathena.inter_saves import SaveChar
from tests.rathena import captured

LOCAL: Final = "127.0.0.1"
QUESTIONS, WARM_UP = 3_000, 200
WAIT_S: Final = 60.0
SAVES: Final = frozenset({0x2B01, 0x2B1C, 0x2B2E, 0x3004, 0x3061, 0x3063, 0x308B})
FEWER: Final = Target("at most", 1 / 20)
ADDED: Final = Bound("at most", 1_000.0)


class Counter:
    """A forwarder that counts. carried: bytes from who connects."""

    def __init__(self, to: int) -> None:
        self._to, self.carried = to, 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other = await asyncio.open_connection(LOCAL, self._to)
        await asyncio.gather(self._carry(reader, other, count=True), self._carry(other_reader, writer, count=False))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 18):
                self.carried += len(data) if count else 0
                writer.write(data)
                await writer.drain()
        writer.close()


async def linking(plan: Plan) -> list[Figure]:
    saves = bursts()
    squeezed: list[float] = []
    plain_us: list[float] = []
    linked_us: list[float] = []
    cpu_us: list[float] = []
    for number in range(plan.repeat):
        plan.say(f"link, {number + 1} of {plan.repeat}")
        squeezed.append(await _squeezed(saves))
        plain_us.append(percentile(await _plain(plan), 0.5))
        samples, cpu = await _linked(plan)
        linked_us.append(percentile(samples, 0.5))
        cpu_us.append(cpu)
    said = float(sum(map(len, saves)))
    added_us = [max(0.0, linked - plain) for linked, plain in zip(linked_us, plain_us, strict=True)]
    return [
        Figure(
            name="link.bytes",
            what=f"{len(saves)} recorded autosaves on a host's link, TLS included",
            unit="bytes",
            kafra=squeezed,
            bare=[said] * plan.repeat,
            target=FEWER,
            bare_is="as the map-server says them",
            details={"times_fewer": rounded(said / median(squeezed))},
        ),
        Figure(
            name="link.latency",
            what="what a question and its answer (2b23, 2b24) wait in the link, both ways together, p50",
            unit="us",
            kafra=added_us,
            bare=plain_us,
            target=ADDED,
            bare_is="question and answer over one plain connection",
            details={"agent_cpu_us_a_question": rounded(median(cpu_us))},
        ),
    ]


def bursts() -> list[bytes]:
    """Every recorded autosave and final save, each as one map-server said it."""
    found: list[bytes] = []
    for scenario in captured.scenarios():
        for stream in captured.streams(scenario):
            if stream.dir != "map>gw":
                continue
            parts: list[bytes] = []
            for packet in stream.packets():
                if packet.packet_id in SAVES:
                    parts.append(packet.packet)
                    if packet.packet_id == SaveChar.packet_id:
                        found.append(b"".join(parts))
                        parts = []
    return found


class Asker:
    """A map-server stand-in: says, asks 2b23, hears 2b24."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._question, self._answer = Keepalive().pack(), len(KeepaliveAck().pack())

    @classmethod
    async def connected(cls, port: int) -> "Asker":
        return cls(*await asyncio.open_connection(LOCAL, port))

    async def say(self, data: bytes) -> None:
        """Returns when it was dealt with."""
        self.writer.write(data + self._question)
        await asyncio.wait_for(self._reader.readexactly(self._answer), WAIT_S)

    async def latencies_us(self, count: int) -> list[float]:
        samples = []
        for _ in range(count):
            started_s = time.perf_counter()
            self.writer.write(self._question)
            await self._reader.readexactly(self._answer)
            samples.append((time.perf_counter() - started_s) * 1e6)
        return samples


async def _squeezed(saves: list[bytes]) -> float:
    """Bytes on the link for all of them, one after the other."""
    async with _link(counted=True) as (asker, counter, _):
        await asker.say(b"")
        before = counter.carried
        for burst in saves:
            await asker.say(burst)
        return float(counter.carried - before)


async def _linked(plan: Plan) -> tuple[list[float], float]:
    async with _link(counted=False) as (asker, _, agent):
        await asker.latencies_us(WARM_UP)
        before_s, count = place.cpu_s(agent), plan.count(QUESTIONS)
        samples = await asker.latencies_us(count)
        return samples, (place.cpu_s(agent) - before_s) / count * 1e6


async def _plain(plan: Plan) -> list[float]:
    """To the same echo, in a process of its own, without link, TLS and compression."""
    port = free_port()
    async with place.process("echo", "bench.link_ends", "echo", str(port), url=""):
        asker = await Asker.connected(port)
        await asker.latencies_us(WARM_UP)
        samples = await asker.latencies_us(plan.count(QUESTIONS))
        asker.writer.close()
        return samples


@contextlib.asynccontextmanager
async def _link(*, counted: bool) -> AsyncIterator[tuple[Asker, Counter, psutil.Process]]:
    port = free_port()
    counter = Counter(port)
    with tempfile.TemporaryDirectory(prefix="kafra-bench-") as directory:
        keys, file = Path(directory) / "keys", Path(directory) / "port"
        link_keys(keys)
        server = await asyncio.start_server(counter.accept, LOCAL, 0)
        through = server.sockets[0].getsockname()[1] if counted else port
        async with (
            place.process("bridge", "bench.link_ends", "bridge", str(port), str(keys), url=""),
            place.process("agent", "bench.link_ends", "agent", str(through), str(keys), str(file), url="") as agent,
        ):
            asker = await Asker.connected(int(file.read_text(encoding="ascii")))
            try:
                yield asker, counter, agent
            finally:
                asker.writer.close()
                server.close()
