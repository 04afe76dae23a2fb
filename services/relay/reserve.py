"""Keeps connections to hosts standing and gives them to players (docs/adr/0025). Decides nothing: standing.py does.

In: the bridge's wish; `use` for a player. Out: `bring`, which makes a connection as for a player, without his map. Whatever
is wrong with one that stands, he is brought the other way.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from libs.link.alive import keep_alive
from libs.link.messages import Stand
from libs.link.peer import words
from services.relay.connections import ServerSide
from services.relay.dialled import Dialled, Idle, rtt_ms
from services.relay.effects import Dial
from services.relay.expecting import told
from services.relay.standing import Standing, Towards

TICK_S: Final = 0.1
USE_SHARE: Final = 0.4
"""Of connect_timeout_ms, for the answer on one that stands: two losses on the way; then the host is asked to come."""
_LOG = logging.getLogger(__name__)


class NotReached(Exception):
    """Why, in words."""


@dataclass(frozen=True, slots=True)
class Way:
    """To one process of a host's agent. address, port: where it takes relays; empty: nowhere. map: empty: none yet."""

    host: str
    key: str
    address: str
    port: int
    map: str = ""


@dataclass(frozen=True, slots=True)
class Brought:
    """A connection of an agent that was let in. direct: at the host's own port."""

    transport: asyncio.Transport
    direct: bool

    @property
    def rtt_ms(self) -> float | None:
        """As the kernel knows it; None: unknown."""
        return rtt_ms(self.transport.get_extra_info("socket"))


Bring = Callable[[Way], Awaitable[Brought]]


class Reserve:
    """bring: raises `NotReached`. timeout_ms: for one connection. can_bring: hosts can be asked; that they cannot is not held
    against them. Since the start: opened; used; stale: that did not answer
    when they were to be used."""

    def __init__(self, bring: Bring, timeout_ms: int, can_bring: Callable[[], bool]) -> None:
        self._bring, self._timeout_s, self._can_bring = bring, timeout_ms / 1000, can_bring
        self._standing: Standing[Idle] = Standing()
        self._brought: dict[Idle, Brought] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.opened = self.used = self.stale = 0

    def status(self) -> dict[str, int]:
        return {
            "standing": len(self._standing),
            "standing_opened": self.opened,
            "standing_used": self.used,
            "standing_stale": self.stale,
        }

    def wish(self, wish: Stand) -> None:
        self._standing.wish(wish.hosts)

    async def run(self) -> None:
        """Until cancelled; then all of them end."""
        try:
            while True:
                await asyncio.sleep(TICK_S)
                self._look()
        except Exception:  # noqa: BLE001 - the middleware: players are brought all the same
            _LOG.exception("bug: no connection stands by any more")
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for idle in list(self._brought):
                idle.transport.abort()

    async def use(self, server: ServerSide, way: Way, dial: Dial) -> Brought | None:
        """Makes one that stands the server's, and says the player's first words on it. None: none stands, or none answered.

        Raises:
            NotReached: the host takes nobody there now.
        """
        idle = self._standing.take(way.host, way.key, _now_ms())
        if idle is None:
            return None
        brought = self._brought.pop(idle)
        try:
            async with asyncio.timeout(USE_SHARE * self._timeout_s):
                refused = await idle.use(way.map, dial.enter)
        except (TimeoutError, ConnectionAbortedError) as error:
            idle.transport.abort()
            self.stale += 1
            if isinstance(error, TimeoutError):
                self._standing.doubt(way.host)
            _LOG.info("a connection to %s that stood is dead: %s", way.host, words(error))
            return None
        except BaseException:
            idle.transport.abort()
            raise
        if refused is not None:
            idle.transport.abort()
            raise NotReached(f"the host: {told(refused)}")
        self.used += 1
        self._hand_over(idle, server)
        return brought

    def _hand_over(self, idle: Idle, server: ServerSide) -> None:
        transport = idle.transport
        transport.set_protocol(server)
        server.connection_made(Dialled(transport))
        if transport.is_closing():
            return
        server.let_read(allowed=True)
        if idle.rest:
            server.data_received(idle.rest)

    # -- keeping them -----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        now_ms = _now_ms()
        for idle in self._standing.to_close(now_ms):
            self._brought.pop(idle, None)
            idle.transport.close()
        if not self._can_bring():
            return
        for towards in self._standing.to_open(now_ms):
            task = asyncio.ensure_future(self._open(towards))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self, towards: Towards[Idle]) -> None:
        wished = towards.wished
        try:
            async with asyncio.timeout(self._timeout_s):
                brought = await self._bring(Way(wished.host, wished.key, wished.address, wished.port))
        except (NotReached, TimeoutError) as error:
            if not towards.back_off_ms:
                _LOG.info("no connection to %s stands by: %s", wished.host, error or "not in time")
            self._standing.failed(towards, _now_ms())
            return
        except BaseException:
            self._standing.failed(towards, _now_ms())
            raise
        keep_alive(brought.transport.get_extra_info("socket"))
        idle = Idle(brought.transport, self._lost)
        self._brought[idle] = brought
        self.opened += 1
        self._standing.opened(towards, idle)

    def _lost(self, idle: Idle) -> None:
        self._brought.pop(idle, None)
        self._standing.lost(idle, _now_ms())


def _now_ms() -> int:
    return int(monotonic() * 1000)
