"""Maps served in truth: the operator's bundle, a map-server for each map ordered, and the link that carries them to the bridge.

In: orders (`obey`), tickets (`link.offer`). Out: `reports` for the heartbeat, `statuses` and `trouble` for the player.

    hosting = Hosting(host, Supply(store, key), directory, clock)
    shell = AgentShell(agent, bus, metrics, hosting, clock, hosting.link)
    hosting.on_need = shell.beat_soon                                       and `hosting.run()` beside `shell.run(...)`

From the first map ordered until the last process has ended the bundle's version stays what it is; then another may be
switched to, and the next order is served from that one. Nothing is left running, however `run` ends.

`able`: what is ordered could be served. Without an order that is looked at too, for a host that is not able takes none
(docs/adr/0026).
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final

from libs.events import HostId, MapName, MapReport, OrderedMap
from libs.runtime.clock import Clock
from services.agent.bundle_download import to_its_end
from services.agent.bundle_report import BundleError, unusable
from services.agent.bundle_store import Version, default_root
from services.agent.bundle_supply import Supply
from services.agent.link import AgentLink
from services.agent.link_events import Gone, Heard, Linked, LinkEvent, Players
from services.agent.maps.core import Falls
from services.agent.maps.tree import PRIVATE, BadBundle, Bundle

if TYPE_CHECKING:
    from services.agent.maps.servers import OwnMapServers, Status

AGAIN_S: Final = (2.0, 30.0)
"""After what is ordered could not be served; doubled each time."""
LOOK_S: Final = 30.0
"""How often an agent that serves nothing looks which bundle it has, since its player may have fetched one by hand, and whether
what was in the way still is."""
CLOSE_S_MAX: Final = 20.0
"""Longer than map-servers are given to end."""
_LOG = logging.getLogger(__name__)


class Hosting:
    """A `MapServers`. program: what to start, if not the bundle's own map-server. public: where relays may come for players,
    IPv4 address and port; as made, they are dialled. trouble: why what is ordered is not served, None where nothing is in the
    way. told: why maps could not be served, ordered or not, for the player; refused: the same for the operator. version: the
    bundle's, for host.metrics. on_need(): a heartbeat is wanted soon. on_trouble(): a better bundle would help."""

    def __init__(
        self,
        host: HostId,
        supply: Supply,
        directory: Path,
        clock: Clock,
        rng: random.Random | None = None,
        program: Sequence[str] | None = None,
    ) -> None:
        self.link = AgentLink(host, self._on_link, self._need, rng)
        self.public = ("", 0)
        self.on_need: Callable[[], object] = lambda: None
        self.on_trouble: Callable[[], object] = lambda: None
        self.trouble: str | None = None
        self.told: str | None = None
        self.refused: str | None = None
        self.version: str | None = None
        self._fell_with: str | None = None
        self._supply, self._directory, self._clock = supply, directory, clock
        self._program = program
        self._wanted: dict[MapName, OrderedMap] = {}
        self._servers: OwnMapServers | None = None
        self._falls: dict[MapName, Falls] = {}
        self._news = asyncio.Event()
        self._said: str | None = None
        self._doubted = False
        self._failures = 0
        self._closing = False
        self._ended = asyncio.Event()
        self._ended.set()

    # -- a MapServers -----------------------------------------------------------------------------------------------------

    def obey(self, wanted: dict[MapName, OrderedMap], now_ms: int) -> None:
        if self._closing:
            return
        if wanted.keys() != self._wanted.keys():
            self._news.set()
        self._wanted = dict(wanted)
        if self._servers is not None:
            self._servers.obey(self._wanted, now_ms)

    def reports(self, now_ms: int) -> dict[MapName, MapReport]:
        served = self._servers.reports(now_ms) if self._servers is not None else {}
        state = "starting" if self.trouble is None else "failed"
        missing = {
            name: MapReport(tenure=order.tenure, state=state)  # type: ignore[arg-type]
            for name, order in self._wanted.items()
            if name not in served
        }
        return served | missing

    async def close(self) -> None:
        self._closing, self._wanted = True, {}
        self._news.set()
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                if self._servers is not None:
                    await self._servers.close()
                await self._ended.wait()
        except TimeoutError:
            _LOG.error("maps are still served %g s after they were told to end", CLOSE_S_MAX)

    # -- for others -------------------------------------------------------------------------------------------------------

    @property
    def serving(self) -> bool:
        """Map-servers are run from the bundle's current version, or are about to be."""
        return not self._ended.is_set()

    @property
    def able(self) -> bool:
        """Maps are served, or would be if they were ordered."""
        return self.version is not None and self.told is None

    def look(self) -> None:
        """There may be another bundle, or one where there was none."""
        self._doubted = True
        self._news.set()

    async def look_through(self) -> None:
        """With which bundle maps would be run now, and whether they could be. Reads all of it, while no map is served."""
        self._doubted = False
        before = self.version, self.told
        try:
            self._can(await to_its_end(self._try))
        except (BundleError, BadBundle, OSError) as error:
            with suppress(OSError):
                self.version = self._supply.version()
            self._cannot(error)
        if before != (self.version, self.told):
            self._need()

    def statuses(self) -> "list[Status]":
        """As `OwnMapServers.statuses`; empty while nothing is served."""
        return self._servers.statuses() if self._servers is not None else []

    def port_of(self, name: MapName) -> int | None:
        """Where on loopback this map's map-server takes players; None: its process does not run."""
        return self._servers.port_of(name) if self._servers is not None else None

    # -- its life ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Map-servers end before their link does: their last words are saves."""
        async with asyncio.TaskGroup() as group:
            linking = group.create_task(self.link.run(), name="link")
            try:
                while True:
                    await self._until_ordered()
                    await self._serve()
            finally:
                linking.cancel()

    async def _until_ordered(self) -> None:
        while not self._wanted:
            self.trouble = None
            self._news.clear()
            if self._doubted or self._is_another():
                await self.look_through()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()
            except TimeoutError:
                self._doubted = self.told is not None

    async def _serve(self) -> None:
        """While anything is ordered. If it cannot be, the reason is said once and it is tried again after a while."""
        self._news.clear()
        self._ended.clear()
        try:
            with self._supply.taken() as version:
                await self._serve_from(version)
        except (BundleError, BadBundle, OSError) as error:
            self._ended.set()
            self.trouble = str(error)
            self._failures += 1
            self._cannot(error)
            self.on_trouble()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(AGAIN_S[1], AGAIN_S[0] * 2.0 ** min(self._failures - 1, 8))):
                    await self._news.wait()
        finally:
            self._ended.set()

    async def _serve_from(self, version: Version) -> None:
        from services.agent.maps.servers import OwnMapServers  # a machine without a map pays for none of it

        await to_its_end(self._supply.check, version)
        servers = OwnMapServers(
            Bundle.at(version.tree), self._directory, _Ways(self.link, self.public), self._clock, self._program
        )
        if version.id == self._fell_with:
            servers.core.falls.update(self._falls)
        try:
            async with servers.running():
                self._servers, self.trouble, self._failures = servers, None, 0
                servers.obey(self._wanted, self._clock.now_ms())
                self._can(version)
                while self._wanted:
                    await servers.until_idle()
        finally:
            self._servers, self._falls, self._fell_with = None, servers.core.falls, version.id

    def _is_another(self) -> bool:
        """Than the one known: the player may have fetched one by hand."""
        with suppress(OSError):
            return self._supply.version() != self.version
        return True

    def _try(self) -> Version:
        """What serving would begin with. Raises: as `_serve` knows."""
        version = self._supply.usable()
        Bundle.at(version.tree)
        self._directory.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        with TemporaryFile(dir=self._directory):
            return version

    def _can(self, version: Version) -> None:
        if self._said is not None:
            _LOG.info("maps can be served again, with bundle %s", version.id)
        self.version = version.id
        self.told = self.refused = self._said = None

    def _cannot(self, error: Exception) -> None:
        """Said once; not where nothing was here yet and nothing is ordered: who fetches has his own words."""
        why = str(error)
        if why != self._said and (self._wanted or self.version is not None):
            _LOG.error("no map can be served: %s", why)
            self._said = why
        self.told, self.refused = why, unusable(error)

    def _need(self) -> None:
        self.on_need()

    def _on_link(self, event: LinkEvent) -> None:
        if (servers := self._servers) is None:
            return
        match event:
            case Linked(name):
                servers.on_linked(name)
            case Gone(name, _):
                servers.on_gone(name)
            case Players(name, count):
                servers.on_players(name, count)
            case Heard(name, up_bytes, down_bytes):
                servers.on_heard(name, up_bytes, down_bytes)


class _Ways:
    """The link, to map-servers that listen on loopback: the bridge is told where relays come in, not where they listen."""

    def __init__(self, link: AgentLink, public: tuple[str, int]) -> None:
        self._link, self._public = link, public
        self.close = link.close

    async def open(self, name: MapName, address: str, port: int) -> int:  # noqa: ARG002 - the port's shape
        return await self._link.open(name, *self._public)


def default_directory() -> Path:
    """Where map-servers are run and their logs are kept."""
    return default_root().with_name("maps")
