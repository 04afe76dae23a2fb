"""Map-servers' streams as channels of the link's session, whichever it is at the moment. An `endpoint.Carrier`.

In: what map-servers say, bytes of the connection. Out: bytes for it, what the bridge says to each. Called by link.py.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from libs.link.records import BadLink
from libs.link.session import Ended, Left, Said, Session
from services.agent.uplink import Uplink

if TYPE_CHECKING:
    from services.agent.endpoint import Endpoint

TAKE_BYTES: Final = 128 * 1024


class Carried:
    """session: None while there is none. uplink: its connection, None while it is interrupted. on_over(reason): the session
    cannot go on."""

    def __init__(self, on_over: Callable[[str], None]) -> None:
        self._on_over = on_over
        self._by_channel: dict[int, Endpoint] = {}
        self.session: Session | None = None
        self.uplink: Uplink | None = None

    def forget(self) -> None:
        """The session is over."""
        self.session, self._by_channel = None, {}

    def heard(self, session: Session, data: bytes) -> None:
        if session is not self.session:
            return
        try:
            for event in session.feed(data):
                if isinstance(event, Said):
                    if (endpoint := self._by_channel.get(event.channel)) is not None:
                        endpoint.told(event.data)
                elif isinstance(event, Ended):
                    if (endpoint := self._by_channel.pop(event.channel, None)) is not None:
                        endpoint.drop(event.reason)
                elif isinstance(event, Left):
                    self._on_over(event.reason)
                    return
        except BadLink as error:
            self._on_over(str(error))
        self.pump()

    def pump(self) -> None:
        """Writes what the connection takes."""
        try:
            while self.session is not None and self.uplink is not None and self.uplink.has_room:
                if not (data := self.session.take(TAKE_BYTES)):
                    break
                self.uplink.write(data)
        except BadLink as error:
            self._on_over(str(error))
        for channel, endpoint in list(self._by_channel.items()):
            if self.session is not None:
                endpoint.sent_some(self.session.waiting(channel))

    # -- what endpoints say -----------------------------------------------------------------------------------------------

    def connected(self, endpoint: "Endpoint") -> None:
        if self.session is not None:
            channel = self.session.open(endpoint.place)
            self._by_channel[channel] = endpoint
            endpoint.carried(channel)
            self.pump()

    def say(self, endpoint: "Endpoint", data: bytes) -> int:
        """How many of its bytes wait."""
        if self.session is None or endpoint.channel is None:
            return 0
        self.session.say(endpoint.channel, data)
        self.pump()
        return self.session.waiting(endpoint.channel) if self.session is not None else 0

    def took(self, endpoint: "Endpoint", count: int) -> None:
        if self.session is not None and endpoint.channel is not None:
            self.session.took(endpoint.channel, count)

    def ended(self, endpoint: "Endpoint", reason: str) -> None:
        if self.session is not None and endpoint.channel is not None:
            self._by_channel.pop(endpoint.channel, None)
            self.session.end(endpoint.channel, reason)
            self.pump()
