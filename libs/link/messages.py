"""What bridge, relays and agents say to each other over connections of their own (docs/adr/0011). Pure: structs, their bytes.

It does not go through NATS, so that players play on when NATS is away (DESIGN D5). One frame is a u32 length, big endian, and a
MessagePack map with the message's name under `type`. Both ends know a client connection by the relay's number for it, `conn`,
and one placement of its player on a server by the bridge's number, `switch`, which grows.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

Conn = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Switch = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Id32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Cell = Annotated[int, Meta(ge=0, le=32767)]
Name = Annotated[str, Meta(max_length=80)]
MapWord = Annotated[str, Meta(max_length=16)]
"""A map's name as rAthena's packets hold it."""
Port = Annotated[int, Meta(ge=0, le=65535)]
HostToken = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_@-]{1,32}\Z")]
MapToken = HostToken
"""A host's and a map's name as they stand on the bus."""

FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
"""A relay's whole table after a restart: 50,000 players of 150 bytes."""
PLAYERS_MAX: Final = 50_000
KEY_PATTERN: Final = r"\A[0-9a-f]{64}\Z"
STANDING_PER_HOST: Final = 64
"""Connections that stand between one relay and one host: as many players as the largest maps have."""
STANDING_MAX: Final = 512
"""Of one relay."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """One frame. Unknown keys are ignored; unknown types are a `BadFrame`."""


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """One player as a relay states him after it connected: all that a bridge which forgot everything needs to know him again.

    login_id1, login_id2: the real session ids. server: who serves him, `core`, `fallback` or `<host>/<map>`; none while held.
    tenure: of the assignment he was placed by. map, x, y: where the client last was. fresh: his server had only just taken him
    in when the bridge was lost, and what it asked for then, his variables and storages, may have been lost with it.
    """

    conn: Conn
    switch: Switch
    account_id: Id32
    char_id: Id32
    login_id1: Id32
    login_id2: Id32
    server: Name | None
    tenure: Annotated[int, Meta(ge=0)]
    map: MapWord
    x: Cell
    y: Cell
    fresh: bool = False


# -- the relay says -------------------------------------------------------------------------------------------------------


class RelayHello(Message, frozen=True, kw_only=True, tag="relay.hello"):
    """First on the connection. region: players through this relay are of it. players: the whole table. stands: it may be told
    `Stand`."""

    relay: Name
    region: Name
    players: Annotated[list[Placed], Meta(max_length=PLAYERS_MAX)]
    stands: bool = False


class Arrived(Message, frozen=True, kw_only=True, tag="arrived"):
    """A client connected and said 0436. Answered by `Serve` or `Refuse`. client_ip: 4 bytes, for the char-server alone."""

    conn: Conn
    account_id: Id32
    char_id: Id32
    login_id1: Id32
    sex: Annotated[int, Meta(ge=0, le=255)]
    client_ip: Annotated[bytes, Meta(max_length=4)]


class Entered(Message, frozen=True, kw_only=True, tag="entered"):
    """The server of this switch took the player in (02eb), or not: it refused, did not answer, or cannot be reached."""

    conn: Conn
    switch: Switch
    ok: bool
    reason: Annotated[str, Meta(max_length=256)] = ""


class Loaded(Message, frozen=True, kw_only=True, tag="loaded"):
    """The client finished loading a map (007d): the player is there. ms: since the relay began to hold him, 0 for no hold."""

    conn: Conn
    switch: Switch
    map: MapWord
    x: Cell
    y: Cell
    ms: Annotated[float, Meta(ge=0)] = 0.0


class Walked(Message, frozen=True, kw_only=True, tag="walked"):
    """The server sent the client to another map of its own (0091)."""

    conn: Conn
    map: MapWord
    x: Cell
    y: Cell


class Leaving(Message, frozen=True, kw_only=True, tag="leaving"):
    """The server sent the client to another server (0ac7, not passed on). The relay holds the client."""

    conn: Conn
    map: MapWord
    x: Cell
    y: Cell


class ServerLost(Message, frozen=True, kw_only=True, tag="server.lost"):
    """The server ended the connection without being asked to. The relay holds the client; map, x, y: where it last was. code:
    of the 0081 the server said before, which the client was not told: to this player alone, or to all because it ends."""

    conn: Conn
    switch: Switch
    map: MapWord
    x: Cell
    y: Cell
    code: Annotated[int, Meta(ge=0, le=255)] | None = None


class Held(Message, frozen=True, kw_only=True, tag="held"):
    """Answers `Hold`: nothing of the client goes to the server any more, and the server saw the connection end."""

    conn: Conn
    switch: Switch
    map: MapWord
    x: Cell
    y: Cell


class Closed(Message, frozen=True, kw_only=True, tag="closed"):
    """The client is gone, and the connection to its server with it."""

    conn: Conn
    reason: Annotated[str, Meta(max_length=256)] = ""


# -- the bridge says ------------------------------------------------------------------------------------------------------


class BridgeHello(Message, frozen=True, kw_only=True, tag="bridge.hello"):
    """Answers `RelayHello`. incarnation: of the bridge process; switches count anew in each, above those it was told."""

    bridge: Name
    incarnation: Annotated[str, Meta(max_length=64)]


class Serve(Message, frozen=True, kw_only=True, tag="serve"):
    """Connect this client to that server.

    switch: larger than any before for this conn. server, tenure: kept for `Placed`. address, port: where it listens. key: of
    the agent process whose link this map-server is on, hex: the way is a dial (docs/adr/0023), and address, port are where that
    agent takes relays, empty for nowhere; empty: a map-server of ours. enter: the 0436 to say, with the ids made for this
    server. login_id1, login_id2: the real ones, for `Placed`. resume: the client is in the game already; the entry is swallowed
    and a map change sent. map, x, y: where the player will be. base_level, job_level, zeny: as last saved, resynced after a
    resume; null: leave them.
    """

    conn: Conn
    switch: Switch
    server: Name
    tenure: Annotated[int, Meta(ge=0)]
    address: Annotated[str, Meta(max_length=255)]
    port: Port
    enter: Annotated[bytes, Meta(max_length=64)]
    login_id1: Id32
    login_id2: Id32
    resume: bool
    map: MapWord
    x: Cell
    y: Cell
    base_level: Id32 | None = None
    job_level: Id32 | None = None
    zeny: Id32 | None = None
    key: Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")] = ""


class Hold(Message, frozen=True, kw_only=True, tag="hold"):
    """Stop what this client sends, end its connection to the server so that the server saves, keep the client. -> `Held`."""

    conn: Conn


class Refuse(Message, frozen=True, kw_only=True, tag="refuse"):
    """Tell the client so (0081 with this code) and close."""

    conn: Conn
    code: Annotated[int, Meta(ge=0, le=255)] = 0


class Wished(msgspec.Struct, frozen=True, kw_only=True):
    """Towards one host: how many connections shall stand. key, address, port: as in `Serve`."""

    host: HostToken
    key: Annotated[str, Meta(pattern=KEY_PATTERN)]
    count: Annotated[int, Meta(ge=1, le=STANDING_PER_HOST)]
    address: Annotated[str, Meta(max_length=255)] = ""
    port: Port = 0


class Stand(Message, frozen=True, kw_only=True, tag="stand"):
    """The whole wish, most needed first: connections to hosts that may have to take players of this relay over
    (docs/adr/0025). A host that is not named: none."""

    hosts: Annotated[list[Wished], Meta(max_length=STANDING_MAX)]


# -- a host's link says ------------------------------------------------------------------------------------------------------


class LinkHello(Message, frozen=True, kw_only=True, tag="link.hello"):
    """In labs: first on a map-server's own connection; what follows is its stream. host, map: whose, and for which map.
    address, port: where that map-server takes players, IPv4."""

    host: HostToken
    map: MapToken
    address: Annotated[str, Meta(max_length=15)]
    port: Port


class LinkOpen(Message, frozen=True, kw_only=True, tag="link.open"):
    """First on an agent's connection: a new session, a new incarnation of all its map-servers. Answered by `LinkAccepted` or
    `LinkRefused`. key: of this agent process, Ed25519, hex. ticket: of host.order, for this key. proof: that it has the key
    (libs/link/tickets.py)."""

    host: HostToken
    key: Annotated[str, Meta(pattern=KEY_PATTERN)]
    ticket: Annotated[str, Meta(max_length=2048)]
    proof: Annotated[bytes, Meta(max_length=64)]


class LinkResume(Message, frozen=True, kw_only=True, tag="link.resume"):
    """The same after an interruption. secret: as `LinkAccepted` gave it. received: frames that came; the rest is said again."""

    session: Annotated[str, Meta(max_length=32)]
    secret: Annotated[bytes, Meta(max_length=32)]
    received: Annotated[int, Meta(ge=0, le=2**63 - 1)]


class LinkAccepted(Message, frozen=True, kw_only=True, tag="link.accepted"):
    """session, secret: for `LinkResume`, of this session alone. window_ms: how long after a break it is kept."""

    session: Annotated[str, Meta(max_length=32)]
    secret: Annotated[bytes, Meta(max_length=32)]
    window_ms: Annotated[int, Meta(ge=0, le=60_000)]


class LinkResumed(Message, frozen=True, kw_only=True, tag="link.resumed"):
    """received: frames that came; the rest is said again."""

    received: Annotated[int, Meta(ge=0, le=2**63 - 1)]


class LinkRefused(Message, frozen=True, kw_only=True, tag="link.refused"):
    """why: in a few words, for the player's log. The connection ends."""

    why: Annotated[str, Meta(max_length=256)]


RelaySays = RelayHello | Arrived | Entered | Loaded | Walked | Leaving | ServerLost | Held | Closed
BridgeSays = BridgeHello | Serve | Hold | Refuse | Stand
LAB_GREETS: Final = msgspec.msgpack.Decoder(LinkHello)
AGENT_GREETS: Final[msgspec.msgpack.Decoder[LinkOpen | LinkResume]] = msgspec.msgpack.Decoder(LinkOpen | LinkResume)
BRIDGE_GREETS: Final[msgspec.msgpack.Decoder[LinkAccepted | LinkResumed | LinkRefused]] = msgspec.msgpack.Decoder(
    LinkAccepted | LinkResumed | LinkRefused
)
"""A host's link: one frame from either end; records follow (libs/link/session.py)."""
GREETING_BYTES_MAX: Final = 4096
