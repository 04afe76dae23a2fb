"""Nobody is called dead who lives: a fleet of real agents on one nats-server, the CPU taken by something else, the registry
stopped for 5 s and continued.

50 agents for 10 s in every run; 500 for 10 minutes in `make prove`.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bench import place
from libs.bus.nats import connect
from libs.bus.port import Start
from libs.events import Fact, HostDown, HostUp, Stream
from tests.rathena.figures import count

pytestmark = [pytest.mark.nats, pytest.mark.timeout(count(180, 1_800))]

Eventually = Callable[..., Awaitable[None]]
AGENTS = count(50, 500)
LOADED_S = count(10, 600)
STOPPED_S = 5.0
AFTERWARDS_S = 12.0
"""Longer than the silence of an idle host: whoever is called dead wrongly is so by then."""
UP_WITHIN_S = 90.0
SPIN = "while True: pass"


class Log:
    """What became of hosts."""

    def __init__(self) -> None:
        self.up: set[str] = set()
        self.downs: list[HostDown] = []

    def on_fact(self, fact: Fact) -> None:
        if isinstance(fact.event, HostUp):
            self.up.add(fact.event.host)
        elif isinstance(fact.event, HostDown):
            self.downs.append(fact.event)


@contextlib.asynccontextmanager
async def fleet_up(eventually: Eventually) -> AsyncIterator[tuple[Log, int]]:
    """Every agent is up. The log, and the registry's pid."""
    fleet = ("services.ops.demo.fleet", "--count", str(AGENTS), "--steady")
    async with place.server() as url, place.process("registry", "services.registry", url=url) as registry:
        bus = await connect(url, name="test")
        log = Log()
        await bus.follow([Stream.HOSTS], log.on_fact, Start.ALL)
        try:
            async with place.process("fleet", *fleet, "--nats", url, url=url):
                await eventually(lambda: len(log.up) == AGENTS, UP_WITHIN_S)
                yield log, registry.pid
        finally:
            await bus.close()


@contextlib.asynccontextmanager
async def busy_cpu() -> AsyncIterator[None]:
    """As many processes that do nothing but compute as there are cores."""
    spinning = [await asyncio.create_subprocess_exec(sys.executable, "-c", SPIN) for _ in range(os.cpu_count() or 1)]
    try:
        yield
        assert all(process.returncode is None for process in spinning)
    finally:
        for process in spinning:
            process.kill()
            await process.wait()


async def test_no_agent_is_called_dead_while_something_else_takes_the_cpu(eventually: Eventually):
    async with fleet_up(eventually) as (log, _), busy_cpu():
        await asyncio.sleep(LOADED_S)

        assert log.downs == []


async def test_no_agent_is_called_dead_by_a_registry_that_was_stopped(eventually: Eventually):
    async with fleet_up(eventually) as (log, registry):
        os.kill(registry, signal.SIGSTOP)
        try:
            await asyncio.sleep(STOPPED_S)
        finally:
            os.kill(registry, signal.SIGCONT)
        await asyncio.sleep(AFTERWARDS_S)

        assert log.downs == []
