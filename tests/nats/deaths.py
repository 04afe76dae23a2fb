"""A nats-server, registry processes and agents as processes of their own; what became of them, as the log has it. For the tests
of hosts that die and of registries that do."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import psutil

from bench import place
from libs.bus.nats import NatsBus, connect
from libs.bus.port import Connection, Start
from libs.events import Fact, HostDown, HostId, HostLost, HostUp, Stream
from libs.hosting.effects import Append, Committed
from libs.hosting.world import World
from libs.runtime.clock import Clock
from tests.unit.builders import assign

Eventually = Callable[..., Awaitable[None]]
READY_S = 60.0
"""Generous: other work shares the machine."""


class Land:
    """facts: of HOSTS, as they were seen. down_s: host -> when its last host.down was, by the loop's clock; ended_s: when the
    server told that its connection ended."""

    def __init__(self, url: str, bus: NatsBus) -> None:
        self.url, self.bus = url, bus
        self.world = World()
        self.facts: list[Fact] = []
        self.down_s: dict[str, float] = {}
        self.ended_s: dict[str, float] = {}
        self._agents: dict[str, asyncio.subprocess.Process] = {}

    def on_fact(self, fact: Fact) -> None:
        self.world.apply(fact)
        if fact.stream is Stream.HOSTS:
            self.facts.append(fact)
            if isinstance(fact.event, HostDown):
                self.down_s[fact.event.host] = asyncio.get_running_loop().time()

    def on_connection(self, connection: Connection) -> None:
        if not connection.connected:
            self.ended_s[connection.name] = asyncio.get_running_loop().time()

    def is_up(self, host: str) -> bool:
        return self.world.host(HostId(host)).is_up

    def downs(self, host: str | None = None) -> list[HostDown]:
        return [f.event for f in self.facts if isinstance(f.event, HostDown) and host in (None, f.event.host)]

    async def agent(self, host: str, url: str | None = None) -> None:
        """Started; not yet up. url: through a proxy."""
        argv = ("-m", "services.agent", "--nats", url or self.url, "--host-id", host, "--simulate", "--region", "eu")
        self._agents[host] = await asyncio.create_subprocess_exec(
            sys.executable, *argv, env=place.environ(self.url), stderr=asyncio.subprocess.DEVNULL, start_new_session=True
        )

    def signal(self, host: str, number: int) -> None:
        os.kill(self._agents[host].pid, number)

    def kill(self, host: str, *, link: bool) -> float:
        """kill -9; when, by the loop's clock. link: the bridge's word that its link ended comes with it."""
        killed_s = asyncio.get_running_loop().time()
        self.signal(host, signal.SIGKILL)
        if link:
            self.bus.say(HostLost(host=HostId(host), at_ms=Clock().now_ms(), link="of the test"))
        return killed_s

    async def give(self, host: str, map_name: str) -> None:
        """The map is assigned to it."""
        seq = self.world.map(map_name).assign_seq
        outcome = await self.bus.append(Append(assign(map_name, host, at_ms=Clock().now_ms()), seq))
        assert isinstance(outcome, Committed)

    def serves(self, host: str, map_name: str) -> bool:
        up = self.world.host(HostId(host)).up
        return self.is_up(host) and up is not None and map_name in up.ready_maps

    async def close(self) -> None:
        for process in self._agents.values():
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def land(more: dict[str, str] | None = None, registries: Sequence[str] = ("registry",)) -> AsyncIterator[Land]:
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(place.server())
        for name in registries:
            await stack.enter_async_context(place.process(name, "services.registry", url=url, more=more))
        bus = await connect(url, name="test")
        stack.push_async_callback(bus.close)
        made = Land(url, bus)
        stack.push_async_callback(made.close)
        await bus.watch_connections(made.on_connection)
        await bus.follow([Stream.HOSTS, Stream.ASSIGNMENTS], made.on_fact, Start.ALL)
        yield made


def contradictions(facts: Sequence[Fact]) -> list[str]:
    """Pairs of host.up and host.down that cannot both be true: a host is down that was not up."""
    up: dict[str, bool] = {}
    found: list[str] = []
    for fact in facts:
        if isinstance(fact.event, HostUp):
            up[fact.event.host] = True
        elif isinstance(fact.event, HostDown):
            if not up.get(fact.event.host, False):
                found.append(f"{fact.seq}: {fact.event.host} is down ({fact.event.reason}) and was not up")
            up[fact.event.host] = False
    return found


def stopped(process: psutil.Process, seconds: float) -> Any:
    """SIGSTOP now, SIGCONT so much later."""
    process.suspend()
    return asyncio.get_running_loop().call_later(seconds, process.resume)
