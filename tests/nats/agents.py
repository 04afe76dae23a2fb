"""Real agents as processes, and who speaks to them in the tests: an operator in the registry's place, a validator's answers."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from libs.bus.nats import NatsBus
from libs.config import Settings
from libs.events import HostId, HostMetrics, HostOrder, HostSpeed, MapName, NodeName, OrderedMap, Region, Reply
from libs.events.orders import Heard
from libs.runtime.clock import Clock
from services.validator.core import Validator

MAP = "a_fild01"
ROOT = Path(__file__).parents[2]
BOUND_S = 30.0
"""Of every wait; a failure, not a measurement."""


class Validating:
    """The validator's answers, on a bus. It may be made to stop answering, or to begin anew with nothing remembered. at: what
    happens before the request of that number is answered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.silent = False
        self.asked = 0
        self.at: dict[int, Callable[[], None]] = {}
        self.forget()

    def fall_silent(self) -> None:
        self.silent = True

    def forget(self) -> None:
        self._validator = Validator(self._settings, name=NodeName("validator-1"), nonce=lambda: "00" * 16)

    async def on_asked(self, request: HostSpeed) -> Reply | None:
        self.asked += 1
        self.at.get(self.asked, lambda: None)()
        return None if self.silent else self._validator.on_asked(request, Clock().now_ms())


class Operator:
    """Hears every agent's heartbeats and orders as a registry does."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.beats: list[HostMetrics] = []
        self._orders = 0

    async def listen(self) -> None:
        await self.bus.hear(HostMetrics, self.beats.append)

    def order(
        self,
        host: str,
        *maps: str,
        heard: HostMetrics | None = None,
        notes: tuple[str, ...] = (),
        regions: dict[Region, str] | None = None,
    ) -> None:
        self._orders += 1
        wanted = {MapName(name): OrderedMap(tenure=1, role="primary") for name in maps}
        counted = None if heard is None else Heard(seq=heard.seq, at_ms=heard.at_ms)
        self.bus.say(
            HostOrder(
                host=HostId(host),
                at_ms=1,
                as_of=self._orders,
                lease=1,
                interval_ms=100,
                maps=wanted,
                notes=list(notes),
                heard=counted,
                regions=regions or {},
            )
        )


def of(operator: Operator, condition: Callable[[HostMetrics], object]) -> Callable[[], bool]:
    return lambda: any(condition(beat) for beat in operator.beats)


def is_ready(beat: HostMetrics) -> bool:
    return MAP in beat.maps and beat.maps[MAP].state == "ready"  # type: ignore[index]


async def serving(operator: Operator, eventually: Callable[..., Awaitable[None]]) -> None:
    """Until h1 serves MAP, which it is ordered to."""
    await eventually(of(operator, lambda _: True), BOUND_S)
    operator.order("h1", MAP)
    await eventually(of(operator, is_ready), BOUND_S)


class AgentProcess:
    """said: its stderr's lines so far."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.said: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.said.append(line.decode())

    def has_said(self, words: str) -> int:
        """In how many lines."""
        return sum(words in line for line in self.said)

    async def ended(self) -> int:
        """Its exit code. What it said must be free of stack traces."""
        async with asyncio.timeout(BOUND_S):
            code = await self.process.wait()
            await self._reading
        assert not self.has_said("Traceback"), "".join(self.said)
        return code

    async def close(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self._reading


def flags(url: str, *more: str) -> tuple[str, ...]:
    """Of an agent whose machine and map-servers are made up."""
    return ("--nats", url, "--host-id", "h1", "--account", "7", "--region", "eu", "--simulate", *more)


@asynccontextmanager
async def agent(*arguments: str) -> AsyncIterator[AgentProcess]:
    """`kafra agent ARGUMENTS`, killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.agent", *arguments, cwd=ROOT, stderr=PIPE, env=environ()
    )
    running = AgentProcess(process)
    try:
        yield running
    finally:
        await running.close()


async def run_agent(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of `kafra agent ARGUMENTS` that ends by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.agent", *arguments, cwd=ROOT, stdout=PIPE, stderr=PIPE, env=environ()
    )
    try:
        async with asyncio.timeout(BOUND_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def environ() -> dict[str, str]:
    """Without a configuration of whoever runs the tests, and with room for a table."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("KAFRA", "NOTIFY_SOCKET"))}
    return plain | {"XDG_CONFIG_HOME": "/nonexistent", "COLUMNS": "120"}
