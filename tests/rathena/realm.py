"""A whole realm for tests: the twin of a char-server, the VPS's two map-servers, bridge and relay as processes, the control
plane on a real nats-server, hosts with map-servers of their own, and players who come through the relay.

`async with Realm.running(tmp_path, players=50, hosts=2) as realm: await realm.enter_all(); ...`
"""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from libs.bus.nats import NatsBus, connect
from libs.bus.port import Start
from libs.events import Event, Fact, HostId, MapMoved, MapName, OpsBan, OpsDrain, Stream
from libs.hosting.effects import Append
from libs.hosting.world import World
from libs.runtime.clock import Clock
from libs.runtime.garbage import collect_seldom
from services.agent.dialing import Limits
from services.ops.stack import RATHENA, SERVICES, StackOptions
from tests.rathena.hosting import TwinHost
from tests.rathena.surroundings import FIELD, TOWN, WORDS, WatchedStack, environ, free_ports, told_outside
from tests.rathena.twin.client import TwinClient
from tests.rathena.twin.people import person
from tests.rathena.twin.process import TwinProcess

WAIT_S = 30.0
POLL_S = 0.005

E = TypeVar("E", bound=Event)


class Realm:
    """char, core, fallback: twin processes. clients: one a player. facts: the log so far; world: folded from it."""

    def __init__(self, stack: WatchedStack, char: TwinProcess, ports: dict[str, int], bus: NatsBus) -> None:
        self.stack, self.char, self.ports, self.bus = stack, char, ports, bus
        self.core: TwinProcess
        self.fallback: TwinProcess
        self.hosts: list[TwinHost] = []
        self.clients: list[TwinClient] = []
        self.host_words: Sequence[str] = ()
        self.linked = False
        self.through: int | None = None
        self.world = World()
        self.facts: list[Fact] = []

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        directory: Path,
        *,
        players: int = 4,
        hosts: int = 0,
        control: Sequence[str] = SERVICES,
        settings: dict[str, str] | None = None,
        host_words: Sequence[str] = (),
        party: int = 0,
        linked: bool = False,
        outside: str = "",
    ) -> AsyncIterator["Realm"]:
        """control: services of the control plane that run. host_words: of the command line of hosts' map-servers.
        party: that all players are in, 0 for none. linked: hosts come through their agents' links, with tickets.
        outside: the address at which hosts that are not of this machine reach it."""
        async with AsyncExitStack() as ends:
            char = await ends.enter_async_context(
                TwinProcess.started(*f"char --people {players} --map {TOWN} --x 170 --y 360 --party {party}".split())
            )
            ports = free_ports("maps", "hosts", "relays", "front", "dials", "core", "fallback")
            stack = WatchedStack(
                StackOptions(
                    store=directory / "store",
                    port=0,
                    open=True,
                    only=(*control, *RATHENA),
                    log_files=True,
                    environ=environ(char.port, ports) | (told_outside(outside, ports) if outside else {}) | (settings or {}),
                    listen="0.0.0.0" if outside else "127.0.0.1",
                ),
                lab=not linked,
            )
            await stack.start()
            ends.push_async_callback(stack.stop)
            bus = await connect(stack.url, name="realm", connect_timeout_s=15.0)
            ends.push_async_callback(bus.close)
            await bus.ensure_streams(1)
            realm = cls(stack, char, ports, bus)
            realm.host_words = (*WORDS, *host_words)
            realm.linked = linked
            await bus.follow((Stream.HOSTS, Stream.MAPS, Stream.ASSIGNMENTS), realm._on_fact, Start.ALL)
            realm.core = await ends.enter_async_context(realm.map_server("core", TOWN))
            realm.fallback = await ends.enter_async_context(realm.map_server("fallback", f"{FIELD},pay_fild03,prt_fild08"))
            for server in (realm.core, realm.fallback):
                await server.ask("linked")
            ends.push_async_callback(realm._stop_clients)
            ends.push_async_callback(realm._vanish_hosts)
            await realm.add_hosts(hosts)
            ends.enter_context(_collecting_seldom())
            yield realm

    def map_server(self, name: str, maps: str) -> "AsyncIterator[TwinProcess]":
        """A map-server of the VPS, at the address the configuration gives it."""
        port = str(self.ports[name])
        bridge = f"127.0.0.1:{self.ports['maps']}"
        return TwinProcess.started("map", "--char", bridge, "--maps", maps, "--port", port, *WORDS)  # type: ignore[return-value]

    async def add_hosts(self, count: int, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        for number in range(len(self.hosts), len(self.hosts) + count):
            bridge = None if self.linked else f"127.0.0.1:{self.ports['hosts']}"
            words = self.host_words
            name, through = f"host_{number}", self.through
            host = TwinHost(self.stack.url, name, bridge, number=number, words=words, through=through, limits=limits)
            self.hosts.append(host)
            await host.come()
        new = self.hosts[len(self.hosts) - count :]
        await self.until(lambda: all(self.world.host(host.id).is_up for host in new), "all new hosts are up")

    async def enter(self, number: int) -> TwinClient:
        """Player `number`, from 0, comes into the game."""
        who = person(number)
        client = TwinClient(await self.char.login(who.account_id), name=who.name, local_ip=address_of(number))
        self.clients.append(client)
        await client.enter()
        return client

    async def enter_all(self, count: int) -> list[TwinClient]:
        return [await self.enter(number) for number in range(count)]

    async def to_field(self, clients: Sequence[TwinClient]) -> None:
        """Through the portal."""
        for client in clients:
            client.walk(170, 378)
        for client in clients:
            await client.until(lambda client=client: client.core.map == FIELD and client.core.standing, WAIT_S)

    async def loads_after(self, clients: Sequence[TwinClient], act: Callable[[], None]) -> list[float]:
        """Does it, waits until each of them loaded a map and stands on it; ms from the act to the first load, one a client."""
        before = [(len(client.core.loads), client.shell.now_ms()) for client in clients]
        act()
        for client, (loads, _) in zip(clients, before, strict=True):
            await client.until(
                lambda c=client, n=loads: (len(c.core.loads) > n and c.core.standing) or c.core.disconnects, WAIT_S
            )
        assert self.undisturbed(), [client.core.disconnects for client in clients if client.core.disconnects]
        return [c.core.loads[loads][0] - at_ms for c, (loads, at_ms) in zip(clients, before, strict=True)]

    def serving(self, name: MapName = FIELD) -> TwinHost | None:
        """Who serves a map by the log; None: the VPS."""
        assign = self.world.map(name).assign
        return next((host for host in self.hosts if assign is not None and assign.host == host.id), None)

    def said(self, kind: type[E]) -> list[E]:
        """Every event of this kind in the log so far."""
        return [fact.event for fact in self.facts if isinstance(fact.event, kind)]

    @property
    def moved(self) -> list[MapMoved]:
        return self.said(MapMoved)

    async def hosted(self, name: MapName = FIELD, *, warm: bool = True) -> TwinHost:
        """Waits until a host serves the map in truth, and its first backup is ready."""

        def settled() -> bool:
            host, assign = self.serving(name), self.world.map(name).assign
            if host is None or assign is None or name not in host.servers.running:
                return False
            moved = self.world.map(name).moved
            if moved is None or moved.tenure != self.world.map(name).tenure or moved.outcome != "moved":
                return False
            backup = next((other for other in self.hosts if assign.backups and other.id == assign.backups[0]), None)
            ready = self.world.host(backup.id).up if backup else None
            return not warm or (ready is not None and name in ready.ready_maps and name in backup.servers.running)  # type: ignore[union-attr]

        await self.until(settled, f"{name} is on a host with a warm backup")
        host = self.serving(name)
        assert host is not None
        return host

    async def until(self, condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        while not condition():
            assert loop.time() < end_s, f"not within {timeout_s:g} s: {what}"
            await asyncio.sleep(POLL_S)

    def pid(self, name: str) -> int:
        assert self.stack.supervisor is not None
        child = next(child for child in self.stack.supervisor.children if child.name == f"{name}-0")
        assert child.pid is not None, f"{name} does not run"
        return child.pid

    def signal(self, name: str, number: int) -> None:
        """To a service of the stack; a killed one is started again."""
        os.kill(self.pid(name), number)

    async def kill(self, name: str) -> None:
        """kill -9; waits until its successor is ready."""
        assert self.stack.supervisor is not None
        child = next(child for child in self.stack.supervisor.children if child.name == f"{name}-0")
        child.ready.clear()
        self.signal(name, signal.SIGKILL)
        async with asyncio.timeout(WAIT_S):
            await child.ready.wait()

    async def until_status(self, name: str, condition: Callable[[dict[str, Any]], object], what: str) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + WAIT_S
        while not condition(status := await self.status(name)):
            assert loop.time() < end_s, f"not within {WAIT_S:g} s: {what}: {status}"
            await asyncio.sleep(POLL_S)

    async def emptied(self, server: TwinProcess) -> None:
        """Waits until a map-server has no player any more, or has ended."""
        async with asyncio.timeout(WAIT_S):
            try:
                while await server.ask("players"):  # noqa: ASYNC110 - it is another process's
                    await asyncio.sleep(POLL_S)
            except (OSError, ValueError):  # it ends while it is asked
                await server.process.wait()

    def ban(self, host: HostId) -> None:
        at_ms = Clock().now_ms()
        self._order(OpsBan(host=host, at_ms=at_ms, until_ms=None, reason="a test", by="test"))

    def drain(self, host: HostId) -> None:
        self._order(OpsDrain(host=host, at_ms=Clock().now_ms(), draining=True, by="test"))

    def _order(self, event: Event) -> None:
        self.bus.submit(Append(event, None), lambda _write, _outcome: None)

    async def status(self, name: str) -> dict[str, Any]:
        """/statusz of a service."""
        return await asyncio.to_thread(self.stack.status, name)

    async def in_play(self, clients: Sequence[TwinClient]) -> None:
        """Waits until each stands in the game."""
        for client in clients:
            await client.until(lambda c=client.core: c.standing, WAIT_S)

    async def attack(self, clients: Sequence[TwinClient], times: int = 1) -> None:
        """10 zeny a time and player; returns when each has been told. Who loads a map is heard when he stands on it."""
        await self.in_play(clients)
        wanted = [client.core.zeny + 10 * times for client in clients]
        for client in clients:
            for _ in range(times):
                client.attack()
        for client, zeny in zip(clients, wanted, strict=True):
            await client.until(lambda c=client, z=zeny: c.core.zeny == z)

    async def kept(self, clients: Sequence[TwinClient]) -> None:
        """Waits until the char-server has of each what its player sees."""
        for client in clients:
            core = client.core
            await self.char.ask("wait_saved", char=core.who.char_id, zeny=core.zeny, base_exp=core.base_exp)

    def undisturbed(self) -> bool:
        """No client of all lost its connection or had to make another."""
        return not any(client.core.disconnects or client.core.reconnects for client in self.clients)

    def undisturbed_but_for_logout(self) -> bool:
        return not any(client.core.reconnects for client in self.clients)

    def log(self, name: str) -> str:
        """What a service said."""
        return (self.stack.options.store / "log" / f"{name}-0.log").read_text()

    async def _vanish_hosts(self) -> None:
        await asyncio.gather(*(host.vanish() for host in self.hosts))

    async def _stop_clients(self) -> None:
        for client in self.clients:
            await client.stop()

    def _on_fact(self, fact: Fact) -> None:
        self.facts.append(fact)
        self.world.apply(fact)


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Our clients are timed, and a look at all that a test process holds takes as long as an entry."""
    before = gc.get_threshold()
    collect_seldom()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def address_of(number: int) -> str:
    """Where player `number` comes from."""
    return f"127.77.{number // 250}.{number % 250 + 1}"
