"""Map-servers as ordered, each a process of its own. A `MapServers` (services/agent/ports.py).

In: orders, through `obey`; the links' words. Out: `reports` for the heartbeat, `statuses` for the player.

    async with OwnMapServers(bundle, directory, links, clock).running() ...      what core.py decides is performed within
"""

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from libs.events import MapName, MapReport, OrderedMap
from libs.runtime.clock import Clock
from services.agent.maps.core import Effect, Kill, Phase, Start, Supervision, Terminate
from services.agent.maps.cost import Cost
from services.agent.maps.log import BoundedLog, prune
from services.agent.maps.server import MapServer
from services.agent.maps.tree import PRIVATE, Bundle
from services.agent.ports import MapLinks
from services.agent.sql.responder import Responder

RUN_PREFIX: Final = "run-"
LOGS: Final = "logs"
CLOSE_S_MAX: Final = 15.0
"""SIGTERM, TERM_MS_MAX later SIGKILL, and a little."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Status:
    """One map, for its player. since_ms: in this phase. falls: without a steady time between; last_fall: why. up_bytes,
    down_bytes: of its inter-server stream, all lives together, before compression. cost: None while no process runs."""

    map: MapName
    phase: Phase
    role: str | None
    tenure: int
    players: int
    since_ms: int
    falls: int
    last_fall: str
    up_bytes: int
    down_bytes: int
    cost: Cost | None


@dataclass(slots=True)
class _Traffic:
    up_bytes: int = 0
    down_bytes: int = 0


class OwnMapServers:
    """directory: ours alone, for what they are started with and for their logs. program: what to start, if not the bundle's own
    map-server."""

    def __init__(
        self, bundle: Bundle, directory: Path, links: MapLinks, clock: Clock, program: Sequence[str] | None = None
    ) -> None:
        self.responder = Responder()
        self.core = Supervision()
        self._bundle, self._links, self._clock = bundle, links, clock
        self._program = program
        self._directory, self._run = directory, directory / f"{RUN_PREFIX}{os.getpid()}"
        self._running: dict[MapName, MapServer] = {}
        self._traffic: dict[MapName, _Traffic] = {}
        self._effects: list[Effect] = []
        self._news = asyncio.Event()
        self._closing = False
        self._idle = asyncio.Event()
        self._over = asyncio.Event()
        self._over.set()

    def obey(self, wanted: dict[MapName, OrderedMap], now_ms: int) -> None:
        if not self._closing:
            self._do(self.core.obey(wanted, now_ms))
            if self.core.lives:
                self._idle.clear()

    async def until_idle(self) -> None:
        """Within `running`, once something was ordered: nothing is any more, and no process is left."""
        await self._idle.wait()

    def reports(self, now_ms: int) -> dict[MapName, MapReport]:  # noqa: ARG002 - the port's shape
        return self.core.reports()

    # -- what the links say; of a map without a process it comes too late, and counts for nothing ------------------------

    def on_linked(self, name: MapName) -> None:
        """The bridge took this map's server in: it may serve."""
        if self._has_process(name):
            waited_ms = self._clock.now_ms() - self.core.lives[name].since_ms
            self.core.on_linked(name, self._clock.now_ms())
            _LOG.info("%s: ready, after %.1f s", name, waited_ms / 1000)
            self._news.set()

    def on_heard(self, name: MapName, up_bytes: int, down_bytes: int) -> None:
        """So many bytes went by. up_bytes: what it said, by which it lives; one that is never told of is not thought frozen."""
        if (traffic := self._traffic.get(name)) is not None:
            traffic.up_bytes += up_bytes
            traffic.down_bytes += down_bytes
        if up_bytes and self._has_process(name):
            self.core.on_heard(name, self._clock.now_ms())

    def on_players(self, name: MapName, players: int) -> None:
        """It has so many now."""
        if self._has_process(name):
            self.core.on_players(name, players)
            self._news.set()

    def on_gone(self, name: MapName) -> None:
        """Its link ended, by either side. It dials again by itself."""
        if self._has_process(name):
            self.core.on_gone(name, self._clock.now_ms())
            self._news.set()

    def _has_process(self, name: MapName) -> bool:
        server = self._running.get(name)
        return server is not None and server.pid is not None

    # -- for its player ---------------------------------------------------------------------------------------------------

    def statuses(self) -> list[Status]:
        """One for each map, and what each costs since the last time this was asked."""
        return [self._status(name) for name in sorted(self.core.lives)]

    def pids(self) -> dict[MapName, int | None]:
        """Of those that are being started or run; None: no process yet."""
        return {name: server.pid for name, server in self._running.items()}

    def port_of(self, name: MapName) -> int | None:
        """Where on loopback this map's map-server takes players; None: its process does not run."""
        server = self._running.get(name)
        return server.port if server is not None and server.pid is not None else None

    async def close(self) -> None:
        """Whoever still plays is saved by the end of his server."""
        self._closing = True
        self._do(self.core.end(self._clock.now_ms()))
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await self._over.wait()
        except TimeoutError:
            _LOG.error("map-servers did not end within %g s: %s", CLOSE_S_MAX, ", ".join(self._running))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Orders are performed within; at its end all are ended, as `close` does. Killed where even that is broken off.

        Raises:
            OSError: the directory, or this machine's loopback, cannot be used.
        """
        self._prepare()
        fell: Exception | None = None
        try:
            await self.responder.start()
            async with asyncio.TaskGroup() as group:
                self._over.clear()
                group.create_task(self._keep(), name="map-servers")
                try:
                    yield
                except Exception as error:  # noqa: BLE001 - raised again below, as itself and not in a group
                    fell = error
                finally:
                    await self.close()
        finally:
            self.responder.close()
            shutil.rmtree(self._run, ignore_errors=True)
        if fell is not None:
            raise fell

    async def _keep(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                while not self._closing or self._running or self._effects:
                    for effect in self._take():
                        self._perform(effect, group)
                    if not self.core.lives and not self._running:
                        self._idle.set()
                    if self._running or not self._closing:
                        await self._wait()
        finally:
            self._idle.set()
            self._over.set()

    def _prepare(self) -> None:
        """What earlier agents left, if they are no more, is removed."""
        self._directory.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        for left in self._directory.glob(f"{RUN_PREFIX}*"):
            pid = left.name.removeprefix(RUN_PREFIX)
            if pid.isdecimal() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid))):
                shutil.rmtree(left, ignore_errors=True)
        self._run.mkdir(mode=PRIVATE)

    def _do(self, effects: list[Effect]) -> None:
        self._effects += effects
        self._news.set()

    def _take(self) -> list[Effect]:
        self._news.clear()
        self._effects += self.core.advance(self._clock.now_ms())
        effects, self._effects = self._effects, []
        return effects

    async def _wait(self) -> None:
        """Until something happens, or the core is due."""
        due_ms = self.core.due_ms()
        wait_s = None if due_ms is None else max(0.0, (due_ms - self._clock.now_ms()) / 1000)
        try:
            async with asyncio.timeout(wait_s):
                await self._news.wait()
        except TimeoutError:
            pass

    def _perform(self, effect: Effect, group: asyncio.TaskGroup) -> None:
        match effect:
            case Start(name):
                prune(self._directory / LOGS)
                log = BoundedLog(self._directory / LOGS / f"{name}.log")
                server = MapServer(name, self._bundle, self._program, self._run / name, log)
                self._running[name] = server
                group.create_task(self._live(server, log), name=f"map-server {name}")
            case Terminate(name):
                _LOG.info("%s: ends, it is ordered no more", name)
                self._running[name].terminate()
            case Kill(name):
                _LOG.warning("%s: killed, it is %s", name, _why_killed(self.core.lives[name].phase))
                self._running[name].kill()

    async def _live(self, server: MapServer, log: BoundedLog) -> None:
        name = server.map
        self._traffic.setdefault(name, _Traffic())
        _LOG.info("%s: starts", name)
        try:
            why = await server.run(self._links, self.responder)
        finally:
            log.close()
            del self._running[name]
        is_fall = self.core.lives[name].phase is not Phase.ENDING
        self._do(self.core.on_exit(name, why, self._clock.now_ms()))
        if is_fall:
            falls = self.core.falls[name]
            wait_s = max(0, falls.until_ms - self._clock.now_ms()) / 1000
            _LOG.warning("%s: %s; its log: %s; if ordered, again in %.1f s", name, why, log.path, wait_s)
        if name not in self.core.lives:
            self._traffic.pop(name, None)

    def _status(self, name: MapName) -> Status:
        life, falls, server = self.core.lives[name], self.core.falls.get(name), self._running.get(name)
        traffic = self._traffic.get(name, _Traffic())
        meter = server.meter if server is not None else None
        return Status(
            map=name,
            phase=life.phase,
            role=life.order.role if life.order is not None else None,
            tenure=life.tenure,
            players=life.players,
            since_ms=life.since_ms,
            falls=falls.count if falls is not None else 0,
            last_fall=falls.last if falls is not None else "",
            up_bytes=traffic.up_bytes,
            down_bytes=traffic.down_bytes,
            cost=meter.look(asyncio.get_running_loop().time()) if meter is not None else None,
        )


def _why_killed(phase: Phase) -> str:
    return "asked to end and does not" if phase is Phase.ENDING else "not ready in time, or says nothing any more"
