"""The whole system for tests: nats-server and the services as real processes, kept alive as `kafra up` keeps them.

In: a directory. Out: `System`, with the world as it is in the log, and whom to kill. Called by tests/e2e.
"""

import asyncio
import inspect
import json
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from machines import SimulatedHost

from libs.bus.nats import NatsBus, connect
from libs.bus.port import Start
from libs.config import Settings, load
from libs.events import Fact, HostId, MapAssign, MapName
from libs.hosting.eligibility import MapList, broken
from libs.hosting.world import World
from libs.runtime.clock import Clock
from services.ops.reading import WORLD_STREAMS
from services.ops.stack import Stack, StackOptions
from services.ops.supervisor import Child

FAST = {
    "KAFRA__MAPS__ELIGIBLE__FIELD": "*_fild*",
    "KAFRA__HOST_REQUIREMENTS__MAX_DISCONNECTS_PER_HOUR": "1000",
    "KAFRA__HOST_REQUIREMENTS__SLOTS_PER_CORE": "4",
    "KAFRA__HOST_REQUIREMENTS__SLOT_RAM_MB": "64",
    "KAFRA__HOST_REQUIREMENTS__SLOTS_MAX": "64",
    "KAFRA__FAILOVER__SILENCE_MS": "1000",
    "KAFRA__FAILOVER__REFILL_INTERVAL_S": "1",
    "KAFRA__REBALANCE__MIN_DWELL_S": "3",
    "KAFRA__REBALANCE__COOL_DOWN_S": "2",
    "KAFRA__MONITORING__HEARTBEAT_BUSY_MS": "200",
    "KAFRA__MONITORING__HEARTBEAT_IDLE_MS": "400",
    "KAFRA__SECURITY__CHECK_INTERVAL_S": "1",
    "KAFRA__SECURITY__CHECK_TIMEOUT_MS": "500",
}
"""Everything faster than the shipped configuration, and hosts may come and go as often as the test wants."""
RECOVERY_S = 30.0
"""Bound on every wait for the system to do its work again; a failure, not a measurement."""
QUIET_S = 1.5
"""No decision for this long, with nothing broken, is quiet: longer than the failure detector's silence."""
POLL_S = 0.01


def environ(**settings: str) -> dict[str, str]:
    """This process's environment without any KAFRA_ variable, then FAST, then `settings`."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("KAFRA_", "NOTIFY_SOCKET"))}
    return plain | FAST | settings


async def until(condition: Callable[[], object], what: str, timeout_s: float = RECOVERY_S) -> float:
    """Await until a condition holds; it may be a coroutine function. Returns how long it took, s.

    Raises:
        AssertionError: not within timeout_s; says what was waited for.
    """
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    assert await comes_true(condition, timeout_s), f"not within {timeout_s:g} s: {what}"
    return loop.time() - started_s


async def comes_true(condition: Callable[[], object], timeout_s: float) -> bool:
    """Whether a condition holds within timeout_s."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + timeout_s
    while True:
        holds = condition()
        if await holds if inspect.isawaitable(holds) else holds:
            return True
        if loop.time() >= end_s:
            return False
        await asyncio.sleep(POLL_S)


class Standstill:
    """Processes that can be made to stand still."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        self._pids = pids

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for pid in self._pids:
            os.kill(pid, number)


@contextmanager
def stopped(*pids: int | None, at_once: bool = True) -> Iterator[Standstill]:
    """These stand still within the context, and go on after it. at_once False: from its `stop` on."""
    still = Standstill(tuple(pid for pid in pids if pid is not None))
    if at_once:
        still.stop()
    try:
        yield still
    finally:
        still.go_on()


def tell(line: str) -> None:
    """A figure of this run, for who runs the tests with -s or -rP."""
    sys.stdout.write(f"{line}\n")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class WatchedStack(Stack):
    """A `Stack` that gives each service a health port of its own. ports: in the order of the children."""

    def __init__(self, options: StackOptions) -> None:
        super().__init__(options)
        self.ports: list[int] = []

    def environ(self) -> dict[str, str]:
        self.ports.append(free_port())
        return super().environ() | {"KAFRA_HEALTH_PORT": str(self.ports[-1])}


class System:
    """bus: the test's own connection. world: folded from the log as it is written. log_lines: MapAssign facts as they came."""

    def __init__(self, stack: WatchedStack, bus: NatsBus) -> None:
        self.stack, self.bus = stack, bus
        self.settings: Settings = load(None, stack.options.environ)
        self.world = World()
        self.clock = Clock()
        self.assigned: list[Fact] = []
        self.hosts: dict[HostId, SimulatedHost] = {}
        self._allows = MapList(self.settings.maps).allows

    def on_fact(self, fact: Fact) -> None:
        self.world.apply(fact)
        if isinstance(fact.event, MapAssign):
            self.assigned.append(fact)

    @property
    def url(self) -> str:
        return self.stack.url

    def child(self, name: str) -> Child:
        """name: `scorer-0` and so on."""
        assert self.stack.supervisor is not None
        return next(child for child in self.stack.supervisor.children if child.name == name)

    def kill(self, name: str) -> bool:
        """SIGKILL to a service (`scorer-0`) or to `nats`; who keeps them alive starts them again. False: dead already."""
        pid = self.stack.server.pid if name == "nats" else self.child(name).pid
        try:
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return pid is not None

    async def status(self, name: str) -> dict[str, int]:
        """/statusz of a service."""
        assert self.stack.supervisor is not None
        port = self.stack.ports[self.stack.supervisor.children.index(self.child(name))]
        return await asyncio.to_thread(_get_json, f"http://127.0.0.1:{port}/statusz")

    async def add_host(self, name: str, **what: object) -> SimulatedHost:
        host = SimulatedHost(self.url, name, **what)  # type: ignore[arg-type]
        self.hosts[host.id] = host
        await host.come()
        return host

    def is_trusted(self, host: HostId) -> bool:
        """Up, and passed through a check: it may get maps."""
        found = self.world.host(host)
        return found.is_up and found.up is not None and found.up.trust >= self.settings.security.trust_min

    async def trusted(self, *names: str) -> None:
        for name in names:
            await until(lambda name=name: self.is_trusted(HostId(name)), f"{name} is up and trusted")

    def server_of(self, name: str) -> str | None:
        """Host id, `vps`, or None for not assigned."""
        assign = self.world.map(MapName(name)).assign
        return None if assign is None else assign.host or "vps"

    def served_by(self, host: str) -> set[MapName]:
        return set(self.world.serving.get(HostId(host), ()))

    def broken_maps(self) -> list[str]:
        now_ms = self.clock.now_ms()
        return [
            f"{state.name}: {why}"
            for state in self.world.maps.values()
            if (why := broken(self.world, state, self._allows(state.name), now_ms)) is not None
        ]

    def unassigned_maps(self) -> list[str]:
        return [state.name for state in self.world.maps.values() if state.has_players and state.assign is None]

    async def quiet(self) -> None:
        """Until no decision came for QUIET_S and none is due."""
        loop = asyncio.get_running_loop()
        seen, since_s = -1, 0.0

        def is_quiet() -> bool:
            nonlocal seen, since_s
            if self.world.assignments_seq != seen:
                seen, since_s = self.world.assignments_seq, loop.time()
            return loop.time() - since_s >= QUIET_S and not self.broken_maps() and not self.unassigned_maps()

        try:
            await until(is_quiet, "no decision is made any more")
        except AssertionError as error:
            raise AssertionError(f"{error}; broken {self.broken_maps()}, unassigned {self.unassigned_maps()}") from None


@asynccontextmanager
async def running(store: Path, *, replicas: int = 1, settings: Mapping[str, str] | None = None) -> AsyncIterator[System]:
    """A system with its four services ready; all of it has ended when the context ends, whatever happened in it."""
    options = StackOptions(
        store=store, port=0, open=True, replicas=replicas, log_files=True, environ=environ(**(settings or {}))
    )
    stack = WatchedStack(options)
    async with AsyncExitStack() as exits:
        exits.push_async_callback(stack.stop)
        await stack.start()
        bus = await connect(stack.url, name="test")
        exits.push_async_callback(bus.close)
        system = System(stack, bus)
        following = await bus.follow(WORLD_STREAMS, system.on_fact, Start.ALL)
        await following.caught_up(RECOVERY_S)
        exits.push_async_callback(_vanish_all, system)
        yield system


async def _vanish_all(system: System) -> None:
    await asyncio.gather(*(host.vanish() for host in system.hosts.values()))


def _get_json(url: str) -> dict[str, int]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        found: dict[str, int] = json.load(answer)
        return found
