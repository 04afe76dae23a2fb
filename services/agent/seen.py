"""What the player sees of his agent and commands it: sampled, paused, shown on a page of this machine alone.

From the agent's start to its end, NATS or not. In: from `attach` on the agent, its connection and its map-servers. Out:
`paused`, by which the heartbeats say `leaving` (docs/adr/0024); the page (status_page.py), which `kafra agent status` asks too.

    seen = Seen(settings)
    await seen.start(); ...; seen.attach(...); await seen.watch(); ...; await seen.close()
"""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import psutil

from libs.bus.connect import bare_url
from libs.events import HostId
from libs.version import VERSION
from services.agent.core import Agent, Measured
from services.agent.guests import Guests
from services.agent.pausing import Look, Pause, Pausing, Rules, Word
from services.agent.places import Place, Running, began_s
from services.agent.quiet import hours_of
from services.agent.samples import SAMPLE_S, Sample, Sampler
from services.agent.settings import AgentSettings
from services.agent.status import Parts, Status, status_of
from services.agent.status_page import StatusPage

if TYPE_CHECKING:
    from services.agent.maps.servers import Status as MapStatus

TOKEN_BYTES: Final = 32
_LOG = logging.getLogger(__name__)


class Line(Protocol):
    """The connection to NATS: libs.bus.nats.NatsBus."""

    @property
    def connected(self) -> bool: ...


@dataclass(frozen=True)
class Server:
    """measure(): as for the heartbeat. changed(): say so soon. link(): the one to the bridge stands; None: none is wanted.
    able(), troubles(): maps could be served; what is in the way. statuses(): of the map-servers, guests(): of players'
    connections; quick, they are asked at every sample and every look."""

    agent: Agent
    line: Line
    measure: Callable[[], Measured]
    changed: Callable[[], None]
    link: Callable[[], bool | None] = lambda: None
    able: Callable[[], bool] = lambda: True
    troubles: Callable[[], Sequence[str]] = lambda: ()
    statuses: "Callable[[], Sequence[MapStatus]]" = lambda: ()
    guests: Callable[[], Guests] = Guests


def rules_of(settings: AgentSettings) -> Rules:
    quiet = tuple(hours_of(written) for written in settings.quiet)
    return Rules(quiet, settings.cpu_ceiling or None, settings.ram_floor_mb or None)


class Seen:
    """root: Kafra's data, None for the usual place."""

    def __init__(self, settings: AgentSettings, root: Path | None = None) -> None:
        assert settings.host_id is not None
        self._settings = settings
        self._place = Place(HostId(settings.host_id), root)
        self._pausing = Pausing(rules_of(settings))
        self._word = self._place.word()
        self._server: Server | None = None
        self._started_ms = unix_ms()
        self._page: StatusPage | None = None
        self._watching: asyncio.Task[None] | None = None
        self._sampler = Sampler(time.monotonic())
        self._sample()

    @property
    def pause(self) -> Pause | None:
        return self._pausing.pause

    @property
    def paused(self) -> bool:
        return self._pausing.pause is not None

    def attach(self, server: Server) -> None:
        """There is a connection to NATS, for the first time."""
        self._server = server

    async def start(self) -> None:
        """Sampling, and the page, if it can be had: an agent without one hosts all the same, and says so."""
        self._watching = asyncio.create_task(self._keep_watching(), name="samples")
        page = StatusPage(self, secrets.token_urlsafe(TOKEN_BYTES))
        try:
            port = await page.start(self._settings.status_port)
            self._page = page
            me = psutil.Process()
            running = Running(host=self._place.host, pid=me.pid, began_s=began_s(me), port=port, token=page.token)
            self._place.set_running(running)
        except OSError as error:
            _LOG.warning("no status page, kafra agent status finds nothing here: %s", said_of(error))

    async def watch(self) -> None:
        """Until cancelled; raises what sampling raised."""
        assert self._watching is not None
        await asyncio.shield(self._watching)

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._page is not None:
            await self._page.close()
        try:
            self._place.clear_running(os.getpid())
        except OSError as error:
            _LOG.debug("%s", error)

    # -- the player's (status_page.Player) --------------------------------------------------------------------------------

    def status(self) -> Status:
        server = self._server
        return status_of(
            Parts(
                host=self._place.host,
                version=VERSION,
                pid=os.getpid(),
                at_ms=unix_ms(),
                started_ms=self._started_ms,
                url=bare_url(self._settings.url),
                pause=self.pause,
                connected=server is not None and server.line.connected,
                order=server.agent.order if server is not None else None,
                link=server.link() if server is not None else None,
                able=server is None or server.able(),
                troubles=server.troubles() if server is not None else (),
                measured=server.measure() if server is not None else Measured(),
                statuses=self._statuses(),
                guests=self._guests(),
                samples=tuple(self._sampler.kept),
            )
        )

    def say(self, pause_s: int | None, *, paused: bool) -> None:
        """The player's word: it outlives this process. pause_s: how long; None: until he says otherwise."""
        now_ms = unix_ms()
        until_ms = now_ms + pause_s * 1000 if pause_s is not None else None
        self._word = Word(now_ms, until_ms) if paused else None
        try:
            self._place.set_word(self._word)
        except OSError as error:
            _LOG.warning("this holds until the agent ends, it cannot be written down: %s", error)
        self._look(self._sampler.kept[-1])

    async def _keep_watching(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_S)
            self._sample()

    def _sample(self) -> None:
        self._look(self._sampler.take(self._statuses(), self._guests(), time.monotonic()))

    def _statuses(self) -> "Sequence[MapStatus]":
        return self._server.statuses() if self._server is not None else ()

    def _guests(self) -> Guests:
        return self._server.guests() if self._server is not None else Guests()

    def _look(self, sample: Sample) -> None:
        """Whether it is paused now; a change is said at once, to the player and to the server."""
        before = self._pausing.pause
        now = datetime.now(UTC).astimezone()
        look = Look(unix_ms(), now, sample.others_cpu, sample.free_ram_mb, sample.maps_ram_mb)
        pause = self._pausing.look(look, self._word)
        if (pause and (pause.why, pause.detail)) != (before and (before.why, before.detail)):
            _LOG.info("paused: %s", pause.detail) if pause is not None else _LOG.info("goes on hosting")
        if (pause is None) != (before is None) and self._server is not None:
            self._server.changed()


def said_of(error: OSError) -> str:
    """In the system's words; asyncio's own have the address once more."""
    return os.strerror(error.errno) if error.errno else str(error)


def unix_ms() -> int:
    """Of the machine's own clock, sleep included: what the player reads."""
    return int(time.time() * 1000)
