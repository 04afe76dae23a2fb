"""Players come to this machine over connections that it makes itself: nothing has to be opened at its router (docs/adr/0023).

In: host.dial of a relay, `answer`. Out: one connection to that relay and one to the map-server on loopback, joined (pipe.py);
or the first alone, which stands until a player comes (standing.py). The relay is known by its certificate, which host.dial
names; we by the ticket and the key of this process.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final

from libs.events import HostDial, HostDialReply, HostId, MapName
from libs.events.orders import NO_PORT
from libs.link.alive import keep_alive
from libs.link.dials import DialOpen
from libs.link.keys import linking_context
from libs.link.peer import words
from services.agent.guests import Guests
from services.agent.pace import Bucket
from services.agent.pipe import NotDialled, Pipe
from services.agent.ports import Doors, ProcessKey
from services.agent.relay_port import RelayPort
from services.agent.standing import Standing

LOOPBACK: Final = "127.0.0.1"
DIAL_S: Final = 3.0
"""For one dial; the relay gives up sooner, and another server takes the player."""
DIALS_MAX: Final = 256
"""Under way at once: a map of so many players that comes here."""
CLOSE_S: Final = 1.0
_CERTIFICATE_BYTES: Final = 32
_MBIT_BYTES: Final = 125_000
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """players_max: at once. mbps_max: Mbit/s of all together, both ways; 0: no limit."""

    players_max: int = 500
    mbps_max: int = 0


class Dialing:
    """doors: the map-servers here. Since its start: up_bytes to players, down_bytes from them; how many players dialled, let_in
    (through the open port), stood_by (by a connection that stood), refused.

    Use: `AgentShell(..., dials=dialing)`, and `await dialing.close()` at the end.
    """

    def __init__(self, host: HostId, key: ProcessKey, doors: Doors, limits: Limits = Limits()) -> None:
        self._host, self._key, self._doors, self._limits = host, key, doors, limits
        self._loop = asyncio.get_running_loop()
        self._bucket = Bucket(limits.mbps_max * _MBIT_BYTES, self._loop.time())
        self._context = linking_context()
        self._pipes: set[Pipe] = set()
        self._standing = Standing(self._took, self._use)
        self._port: RelayPort | None = None
        self._dialling = 0
        self.up_bytes = self.down_bytes = self.dialled = self.let_in = self.stood_by = self.refused = 0

    @property
    def players(self) -> int:
        """Who is here through a relay, or just comes."""
        return len(self._pipes)

    @property
    def standing(self) -> int:
        """Connections by which a player could come at once."""
        return self._standing.ready

    @property
    def players_max(self) -> int:
        """So many at once."""
        return self._limits.players_max

    def guests(self) -> Guests:
        return Guests(
            here=self.players,
            most=self._limits.players_max,
            way="dialled" if self._port is None else "open port",
            dialled=self.dialled,
            let_in=self.let_in,
            standing=self.standing,
            stood_by=self.stood_by,
            refused=self.refused,
            up_bytes=self.up_bytes,
            down_bytes=self.down_bytes,
        )

    async def answer(self, dial: HostDial) -> HostDialReply:
        """Returns when the player's connection stands, or why it does not."""
        try:
            if dial.address:
                await self._join(dial, dial.address, dial.port)
            elif self._port is not None:
                self._allowed(dial)
                self._port.expect(dial)
            else:
                raise NotDialled(NO_PORT)
        except NotDialled as error:
            self._refuse(dial, error)
            return HostDialReply(ok=False, reason=str(error)[:256])
        return HostDialReply(ok=True)

    async def listen(self, port: int) -> int:
        """Takes relays at this port too, those that asked; 0: any. The port it is. For `address` and `port` in agent.toml.

        Raises:
            OSError: it cannot be had.
        """
        opened = RelayPort(self._let_in)
        number = opened.listen(port)
        self._port = opened
        return number

    async def close(self) -> None:
        """Every player's connection ends."""
        if self._port is not None:
            await self._port.close()
        await self._standing.close()
        for pipe in list(self._pipes):
            pipe.abort("the agent ends")
        if self._pipes:
            await asyncio.wait([pipe.ended for pipe in self._pipes], timeout=CLOSE_S)

    async def _let_in(self, dial: HostDial, connection: socket.socket) -> None:
        """The relay has come, and was expected."""
        try:
            await self._join(dial, connection)
        except NotDialled as error:
            connection.close()
            self._refuse(dial, error)

    def _refuse(self, dial: HostDial, why: NotDialled) -> None:
        if dial.map is None:
            _LOG.debug("no connection to relay %s stands by: %s", dial.relay, why)
            return
        self.refused += 1
        _LOG.info("a player of relay %s does not come here: %s", dial.relay, why)

    async def _join(self, dial: HostDial, *to: Any) -> None:
        """to: the relay's address and port; or a connection of its own. Raises: NotDialled."""
        certificate, door = self._allowed(dial)
        if door is None:
            pipe = self._standing.add(certificate, self._limits.players_max - self.players)
        else:
            pipe = self._player(Pipe(self._took))
        self._dialling += 1
        try:
            async with asyncio.timeout(DIAL_S):
                if door is not None:
                    await self._reach(pipe, door)
                await self._to_relay(dial, pipe, certificate, *to)
            if door is None:
                assert pipe.relay.transport is not None
                keep_alive(pipe.relay.transport.get_extra_info("socket"))
            elif len(to) > 1:
                self.dialled += 1
            else:
                self.let_in += 1
        except TimeoutError:
            raise NotDialled("no answer in time") from None
        finally:
            self._dialling -= 1
            if not pipe.joined:
                pipe.abort("not dialled")

    async def _use(self, pipe: Pipe, map_: MapName) -> None:
        """A player comes by a connection that stood."""
        try:
            self._room()
            door = self._door(map_)
            self._player(pipe)
            async with asyncio.timeout(DIAL_S):
                await self._reach(pipe, door)
        except (NotDialled, TimeoutError) as error:
            self.refused += 1
            why = str(error) or "the map-server does not answer in time"
            _LOG.info("a player does not come here: %s", why)
            pipe.refuse(why)
        else:
            self.stood_by += 1
            pipe.take()

    def _player(self, pipe: Pipe) -> Pipe:
        """It is one's from now on."""
        self._pipes.add(pipe)
        pipe.ended.add_done_callback(lambda _: self._pipes.discard(pipe))
        return pipe

    async def _reach(self, pipe: Pipe, door: int) -> None:
        """Raises: NotDialled."""
        await _or_words("the map-server", self._loop.create_connection(lambda: pipe.door, LOOPBACK, door))

    async def _to_relay(self, dial: HostDial, pipe: Pipe, certificate: bytes, *to: Any) -> None:
        """Raises: NotDialled."""
        at = to if len(to) > 1 else (None, None)
        given = {} if len(to) > 1 else {"sock": to[0]}
        made = self._loop.create_connection(lambda: pipe.relay, *at, ssl=self._context, server_hostname="", **given)
        await _or_words("the relay", made)
        proof = self._key.prove(dial.ticket, certificate)
        await pipe.greet(certificate, DialOpen(host=self._host, key=self._key.key, ticket=dial.ticket, proof=proof))

    def _allowed(self, dial: HostDial) -> tuple[bytes, int | None]:
        """The relay's certificate, and the map-server's port; None: no map yet. Raises: NotDialled."""
        try:
            certificate = bytes.fromhex(dial.certificate)
        except ValueError:
            certificate = b""
        if dial.host != self._host or len(certificate) != _CERTIFICATE_BYTES:
            raise NotDialled("it is no dial for this host")
        self._room()
        if self._dialling >= DIALS_MAX:
            raise NotDialled(f"{DIALS_MAX} players come at once")
        return certificate, self._door(dial.map) if dial.map is not None else None

    def _room(self) -> None:
        """Raises: NotDialled: no player may come now."""
        if self.players >= self._limits.players_max:
            raise NotDialled(f"full: {self.players} players are here, and no more may be")
        if self._bucket.is_empty(self._loop.time()):
            raise NotDialled(f"its line is full: all of {self._limits.mbps_max} Mbit/s is used")

    def _door(self, map_: MapName) -> int:
        """Raises: NotDialled."""
        port = self._doors.port_of(map_)
        if port is None:
            raise NotDialled("no map-server for this map is ready here")
        return port

    def _took(self, up: int, down: int) -> float:
        """So many bytes went by. For how long whoever said them is not to be read, s."""
        self.up_bytes += up
        self.down_bytes += down
        return self._bucket.take(up + down, self._loop.time())


async def _or_words(whom: str, work: Awaitable[object]) -> None:
    """Raises: NotDialled."""
    try:
        await work
    except TimeoutError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name the resolver cannot even look up
        raise NotDialled(f"{whom}: {words(error)}") from None
