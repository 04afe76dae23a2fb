"""A relay's end of its connection to the bridge: it connects, says hello, and after each loss connects again."""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from libs.link.messages import Message
from libs.link.peer import HANDSHAKE_TIMEOUT_S, Handler, Peer, reachable, words
from libs.link.tls import BRIDGE

CONNECT_TIMEOUT_S: Final = 2.0
BACK_OFF_S: Final = (0.05, 1.0)
STEADY_S: Final = 5.0
"""A connection that held this long was a good one: the next attempt comes at once."""
_LOG = logging.getLogger(__name__)
M = TypeVar("M", bound=Message)


class BackOff:
    """How long to wait before the next attempt: BACK_OFF_S, doubling, the upper half by chance so that relays do not come in
    step."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.reset()

    def reset(self) -> None:
        self._most_s = BACK_OFF_S[0]

    def next_s(self) -> float:
        most_s, self._most_s = self._most_s, min(self._most_s * 2, BACK_OFF_S[1])
        return most_s * self._rng.uniform(0.5, 1.0)


class Dialer(Generic[M]):
    """Keeps one connection to `address` (host:port) while `run` runs. hello: what is said first on each new connection.

    says: what the other end may say, `messages.BridgeSays` at the relay. on_message, on_change(connected): from the event loop.

    Raises:
        ValueError: no TLS, and the address is not of this machine alone.
    """

    def __init__(
        self,
        address: str,
        context: ssl.SSLContext | None,
        says: object,
        *,
        hello: Callable[[], Iterable[Message]],
        on_message: Callable[[M], None],
        on_change: Callable[[bool], None] = lambda _: None,
        expect: str = BRIDGE,
        rng: random.Random | None = None,
    ) -> None:
        self._host, self._port = reachable(address, context)
        self._context, self._says, self._expect = context, says, expect
        self._hello, self._on_change = hello, on_change
        self.on_message = on_message
        self._back_off = BackOff(rng or random.Random())
        self._peer: Peer[M] | None = None
        self._ended = asyncio.Event()
        self._said = ""

    @property
    def connected(self) -> bool:
        return self._peer is not None and self._peer.connected

    def say(self, message: Message) -> bool:
        """False: not connected; it is not kept, the next hello has to cover it."""
        return self._peer is not None and self._peer.say(message)

    async def run(self) -> None:
        """Until cancelled: connects, waits for the end of it, backs off."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                started_s = loop.time()
                await self._once()
                if loop.time() - started_s > STEADY_S:
                    self._back_off.reset()
                await asyncio.sleep(self._back_off.next_s())
        finally:
            if self._peer is not None:
                self._peer.close()

    def on_lost(self, reason: str) -> None:
        self._tell(f"the connection is lost: {reason}")
        self._peer = None
        self._on_change(False)
        self._ended.set()

    def _opened(self, peer: Peer[M]) -> Handler[M]:
        self._peer = peer
        self._tell("connected")
        for message in self._hello():
            peer.say(message)
        self._on_change(True)
        return self

    async def _once(self) -> None:
        """One connection, from its attempt to its end."""
        self._ended.clear()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: Peer(self._says, self._opened, self._expect),
                    self._host,
                    self._port,
                    ssl=self._context,
                    server_hostname=self._expect if self._context else None,
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if self._context else None,
                )
        except (OSError, TimeoutError) as error:
            self._tell(f"no connection: {words(error)}")
            return
        if self._peer is not None:
            await self._ended.wait()

    def _tell(self, news: str) -> None:
        """Once, not at every attempt."""
        if news != self._said:
            self._said = news
            _LOG.info("%s: %s", self._expect, news)
