"""A host that serves as an agent does, without its bus: bundles of an operator, the real link to the bridge's end of it, and
behind that the twin of a char-server. The test orders; tickets come as the registry gives them.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

from libs.events import HostId, MapName, OrderedMap
from libs.link.keys import link_keys
from libs.runtime.clock import Clock
from services.agent.bundle import fetch
from services.agent.bundle_store import Store
from services.agent.bundle_supply import Supply
from services.agent.hosting import Hosting
from tests.bundle.bundle_maker import KEY, NOW_MS, PUBLIC, manifest_of, publish
from tests.bundle.bundle_web import web
from tests.rathena.host_lab import FIELD, until
from tests.rathena.link_lab import BridgeEnd
from tests.rathena.twin.asked import asked_command
from tests.rathena.twin.process import TwinProcess

HOST: Final = HostId("my_pc")


def twin_files(**changed: bytes) -> dict[str, bytes]:
    """Of a bundle whose map-server is the twin. changed: its npc/fields.txt, for another version."""
    _, _, words = command = asked_command()
    assert command[1] == "-c"
    return {
        "map-server": f"#!{sys.executable}\n{words}\n".encode(),
        "conf/inter_athena.conf": b"map_server_ip: 203.0.113.1\n",
        "conf/battle_athena.conf": b"prevent_logout: 10000\n",
        "conf/packet_athena.conf": b"enable_ip_rules: yes\n",
        "db/map_cache.dat": b"maps",
        "npc/fields.txt": changed.get("fields", b"moc_fild01,0,0\tmonster\tPoring\t1002,70\n"),
    }


class CharBridge(BridgeEnd):
    """Each map-server's stream goes on to a char-server as it is. Nothing is remembered."""

    def __init__(self, directory: Path, upstream: tuple[str, int]) -> None:
        super().__init__(directory)
        self._upstream = upstream
        self._ways: dict[int, _Way] = {}
        self._dials: set[asyncio.Future[Any]] = set()

    async def start(self) -> None:
        await super().start()
        self.links._on_gone = self._on_gone
        self.agents.on_host = lambda *_: None

    def stop(self) -> None:
        super().stop()
        for number in list(self._ways):
            self._on_gone(number)

    def _on_packets(self, number: int, packets: list[bytes]) -> None:
        if (way := self._ways.get(number)) is None:
            way = self._ways[number] = _Way(number, self)
            dial = asyncio.ensure_future(asyncio.get_running_loop().create_connection(lambda: way, *self._upstream))
            self._dials.add(dial)
            dial.add_done_callback(self._dials.discard)
        way.say(b"".join(packets))

    def _on_gone(self, number: int) -> None:
        if (way := self._ways.pop(number, None)) is not None:
            way.close()


class _Way(asyncio.Protocol):
    """Of one map-server, to the char-server."""

    def __init__(self, number: int, bridge: CharBridge) -> None:
        self._number, self._bridge = number, bridge
        self._transport: asyncio.Transport | None = None
        self._early = b""
        self._closed = False

    def say(self, data: bytes) -> None:
        if self._transport is None:
            self._early += data
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._early)
        if self._closed:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._bridge.links.send(self._number, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._bridge.links.cut(self._number, "the char-server cut it")


class ServingLab:
    """hosting: what is tested; it runs between `start` and `stop`. tickets: given so far."""

    def __init__(self, directory: Path, bridge: CharBridge, key: str | None = PUBLIC) -> None:
        self.out, self.store, self.maps = directory / "out", Store(directory / "store"), directory / "maps"
        self.bridge, self.clock = bridge, Clock()
        self.hosting = Hosting(HOST, Supply(self.store, key), self.maps, self.clock)
        self.hosting.on_need = self._on_need
        self.tickets = 0
        self._running: asyncio.Task[None] | None = None
        self._tenure = 0

    @classmethod
    @asynccontextmanager
    async def running(cls, directory: Path, *, bundle: bool = True, key: str | None = PUBLIC) -> AsyncIterator["ServingLab"]:
        async with AsyncExitStack() as ends:
            char = await ends.enter_async_context(TwinProcess.started("char", "--slots", "64", "--map", FIELD))
            link_keys(directory)
            bridge = CharBridge(directory, ("127.0.0.1", char.port))
            await bridge.start()
            ends.callback(bridge.stop)
            lab = cls(directory, bridge, key)
            if bundle:
                await lab.fetched(twin_files())
            lab.start()
            ends.push_async_callback(lab.stop)
            yield lab

    def start(self) -> None:
        self._running = asyncio.create_task(self.hosting.run(), name="hosting")

    async def stop(self) -> None:
        """As the agent's end does it."""
        if self._running is not None:
            await self.hosting.close()
            await self.break_off()

    async def break_off(self) -> None:
        """As a bug elsewhere in the agent would."""
        running, self._running = self._running, None
        assert running is not None
        running.cancel()
        (ended,) = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended

    async def fetched(self, files: Mapping[str, bytes], *, key: Any = KEY, public: str = PUBLIC) -> str:
        """The operator publishes it, this machine fetches it. Returns: its version."""
        made_ms = NOW_MS + 1_000 * len(self.store.versions())
        publish(self.out, files, key=key, now_ms=made_ms)
        async with web(self.out) as server:
            await fetch(server.url, public, self.store)
        return manifest_of(self.out).version if key is KEY else ""

    def order(self, *maps: MapName) -> None:
        self._tenure += 1
        wanted = {name: OrderedMap(tenure=self._tenure, role="primary") for name in maps}
        self.hosting.obey(wanted, self.clock.now_ms())

    def said(self, name: MapName = FIELD) -> str | None:
        report = self.hosting.reports(self.clock.now_ms()).get(name)
        return None if report is None else report.state

    async def ready(self, *maps: MapName) -> None:
        await until(lambda: all(self.said(name) == "ready" for name in maps), f"{maps} are ready")

    async def idle(self) -> None:
        await until(lambda: not self.hosting.serving, "nothing is served any more")

    def pids(self) -> list[int]:
        """Of map-servers."""
        servers = self.hosting._servers
        return [pid for pid in servers.pids().values() if pid is not None] if servers is not None else []

    def left(self) -> list[str]:
        """Files of runs."""
        return [str(path) for path in self.maps.glob(f"run-{os.getpid()}*")]

    def _on_need(self) -> None:
        asyncio.get_running_loop().call_soon(self._give_ticket)

    def _give_ticket(self) -> None:
        report = self.hosting.link.report
        if report is not None and not report.linked:
            self.tickets += 1
            self.hosting.link.offer(self.bridge.offer(report.key, HOST))
