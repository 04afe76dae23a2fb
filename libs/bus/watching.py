"""Whose connection to the server begins or ends, as the server says it. Called by libs.bus.nats.

In: the server's advisories about our account, imported from the system account (libs/identity/accounts.py). Out: `Connection`.
"""

import logging
from collections.abc import Callable
from datetime import datetime

import msgspec

from libs.bus import port
from libs.bus.connection import Connection
from libs.bus.errors import AuthorizationFailed
from libs.bus.guard import guarded
from libs.bus.port import Subscription
from libs.bus.talk import SUBSCRIBE_TIMEOUT_S
from libs.identity.accounts import ADVISORIES, ANYONE

_LOG = logging.getLogger(__name__)


class _Client(msgspec.Struct):
    """start, stop: RFC 3339; the server leaves out what it does not know."""

    id: int
    host: str = ""
    user: str = ""
    name: str = ""
    start: str = ""
    stop: str = ""


class _Server(msgspec.Struct):
    id: str


class _Advisory(msgspec.Struct):
    """What we use of `io.nats.server.advisory.v1.client_connect` and `.client_disconnect`."""

    server: _Server
    client: _Client
    reason: str = ""


_DECODER = msgspec.json.Decoder(_Advisory)


class Watching:
    """See `Bus.watch_connections`."""

    def __init__(
        self, connection: Connection, on: Callable[[port.Connection], None], forget: Callable[[Subscription], None]
    ) -> None:
        self._connection, self._on, self._forget = connection, on, forget
        self._sids: list[int] = []

    async def open(self) -> None:
        """Returns when the server knows.

        Raises:
            AuthorizationFailed: not permitted.
            BusUnavailable: no answer.
        """
        subjects = [f"$SYS.ACCOUNT.*.{advisory}" for advisory in ADVISORIES]  # whatever our account is called there
        self._sids = [self._connection.listen(subject, self._on_message) for subject in subjects]
        try:
            await self._connection.round_trip(SUBSCRIBE_TIMEOUT_S)
            if any(self._connection.is_forbidden("Subscription", subject) for subject in subjects):
                raise AuthorizationFailed("the server does not permit watching connections")
        except BaseException:
            self._unlisten()
            raise

    async def close(self) -> None:
        self._unlisten()
        self._forget(self)

    def _unlisten(self) -> None:
        for sid in self._sids:
            self._connection.unlisten(sid)

    def _on_message(self, subject: bytes, _reply: bytes, _headers: bytes, body: bytes) -> None:
        try:
            said = connection_of(subject, body)
        except (msgspec.DecodeError, ValueError) as error:  # the server's own words: another version than those we know
            _LOG.error("an advisory nobody can read: %s", error)
            return
        guarded(self._on, said)


def connection_of(subject: bytes, body: bytes) -> port.Connection:
    """
    Raises:
        msgspec.DecodeError, ValueError: no advisory as we know them.
    """
    advisory = _DECODER.decode(body)
    client = advisory.client
    connected = subject.endswith(b".CONNECT")
    at = datetime.fromisoformat(client.start if connected else client.stop)
    return port.Connection(
        connected=connected,
        user="" if client.user == ANYONE else client.user,
        name=client.name,
        id=client.id,
        server=advisory.server.id,
        address=client.host,
        at_ms=int(at.timestamp() * 1000),
        reason=advisory.reason,
    )
