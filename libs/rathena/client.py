"""Packets between a game client and a map-server that a relay looks into or makes. Source: rAthena packet ids, PACKETVER
20211103.

Map names carry the suffix `.gat` here. Everything else passes a relay unread.
"""

from libs.rathena.packets import Packet, packet
from libs.rathena.tables import CLIENT_TO_MAP, MAP_TO_CLIENT
from libs.rathena.values import Cell, Step


@packet(CLIENT_TO_MAP, 0x0436)
class Enter(Packet, frozen=True, kw_only=True):
    """0436, a client's first. client_tick: ms; some clients have theirs in tick2. Answered by 0283, 0b18, 02eb, or by 0081,
    006a."""

    account_id: int
    char_id: int
    login_id1: int
    client_tick: int = 0
    tick2: int = 0
    sex: int


@packet(MAP_TO_CLIENT, 0x0283)
class AccountIdAck(Packet, frozen=True, kw_only=True):
    """0283, a map-server's first, as soon as it has read 0436."""

    account_id: int


@packet(MAP_TO_CLIENT, 0x0B18)
class InventoryExpansion(Packet, frozen=True, kw_only=True):
    """0b18. size: places beyond the usual 100."""

    size: int = 0


@packet(MAP_TO_CLIENT, 0x02EB)
class AcceptEnter(Packet, frozen=True, kw_only=True):
    """02eb: welcome. server_tick: ms. The client loads the map it was told before and says 007d."""

    server_tick: int
    pos: Cell
    x_size: int = 5
    y_size: int = 5
    font: int = 0


@packet(MAP_TO_CLIENT, 0x0081)
class DisconnectReason(Packet, frozen=True, kw_only=True):
    """0081: the client leaves on it. code: 0 refused, 1 server closed, 2 logged in elsewhere, 15 forced (a server that ends
    says so)."""

    code: int


@packet(MAP_TO_CLIENT, 0x006A)
class RefuseLogin(Packet, frozen=True, kw_only=True):
    """006a: refused. date: 20 bytes."""

    code: int
    date: bytes = b""


@packet(MAP_TO_CLIENT, 0x0074)
class RefuseEnter(Packet, frozen=True, kw_only=True):
    """0074: 0436 refused."""

    code: int


@packet(CLIENT_TO_MAP, 0x007D)
class LoadEndAck(Packet, frozen=True, kw_only=True):
    """007d: the map is loaded; the server then says everything that is around."""


class _To(Packet, frozen=True, kw_only=True):
    """map: 16 bytes, with .gat. x, y: cells."""

    map: bytes
    x: int
    y: int


@packet(MAP_TO_CLIENT, 0x0091)
class MapMove(_To, frozen=True, kw_only=True):
    """0091: load this map, on the same connection. Answered by 007d."""


@packet(MAP_TO_CLIENT, 0x0AC7)
class ServerMove(_To, frozen=True, kw_only=True):
    """0ac7: connect to ip (4 bytes) and port and say 0436 there. domain: 128 bytes."""

    ip: bytes
    port: int
    domain: bytes = b""


@packet(CLIENT_TO_MAP, 0x0360)
class Tick(Packet, frozen=True, kw_only=True):
    """0360, every few seconds; a client silent for 60 s is dropped. client_tick: ms. Answered by 007f."""

    client_tick: int


@packet(MAP_TO_CLIENT, 0x007F)
class TickAck(Packet, frozen=True, kw_only=True):
    """007f. server_tick: ms since the server's start, its own for each server."""

    server_tick: int


@packet(CLIENT_TO_MAP, 0x035F)
class Walk(Packet, frozen=True, kw_only=True):
    """035f: walk there. Answered by 0087."""

    dest: Cell


@packet(MAP_TO_CLIENT, 0x0087)
class WalkOk(Packet, frozen=True, kw_only=True):
    """0087: you walk."""

    server_tick: int
    move: Step


@packet(MAP_TO_CLIENT, 0x0088)
class FixPos(Packet, frozen=True, kw_only=True):
    """0088: id (a player's is his account id) stands at x, y."""

    id: int
    x: int
    y: int


@packet(MAP_TO_CLIENT, 0x0080)
class UnitVanish(Packet, frozen=True, kw_only=True):
    """0080. type: 0 out of sight, 1 died, 2 logged out, 3 teleported."""

    id: int
    type: int


@packet(MAP_TO_CLIENT, 0x0095)
class UnitName(Packet, frozen=True, kw_only=True):
    """0095. unit_name: 24 bytes."""

    id: int
    unit_name: bytes


class _Param(Packet, frozen=True, kw_only=True):
    """type: which of one's own values."""

    type: int
    value: int


@packet(MAP_TO_CLIENT, 0x00B0)
class Param(_Param, frozen=True, kw_only=True):
    """00b0. type: 5 hp, 6 hp at most, 7 sp, 8 sp at most, 9 status points, 11 base level, 12 skill points, 24 weight, 55 job
    level."""


@packet(MAP_TO_CLIENT, 0x00B1)
class LongParam(_Param, frozen=True, kw_only=True):
    """00b1. type: 20 zeny."""


@packet(MAP_TO_CLIENT, 0x0ACB)
class LongParam2(_Param, frozen=True, kw_only=True):
    """0acb. type: 1 base EXP, 2 job EXP, 22, 23 what the next level needs of each."""


@packet(MAP_TO_CLIENT, 0x0ACC)
class ExpGain(Packet, frozen=True, kw_only=True):
    """0acc. type: 1 base, 2 job. source: 0 a kill, 1 a quest."""

    account_id: int
    exp: int
    type: int
    source: int = 0


@packet(CLIENT_TO_MAP, 0x00B2)
class Restart(Packet, frozen=True, kw_only=True):
    """00b2. type: 0 respawn, 1 back to the choice of characters, answered by 00b3."""

    type: int


@packet(MAP_TO_CLIENT, 0x00B3)
class RestartAck(Packet, frozen=True, kw_only=True):
    """00b3. type: 1 granted."""

    type: int


@packet(CLIENT_TO_MAP, 0x018A)
class QuitRequest(Packet, frozen=True, kw_only=True):
    """018a. Answered by 018b."""

    type: int = 0


@packet(MAP_TO_CLIENT, 0x018B)
class QuitAck(Packet, frozen=True, kw_only=True):
    """018b. result: 0 may quit, 1 not now."""

    result: int = 0


@packet(CLIENT_TO_MAP, 0x00F3)
class Chat(Packet, frozen=True, kw_only=True):
    """00f3. text: `name : words`, as its player's client encodes it."""

    text: bytes


@packet(MAP_TO_CLIENT, 0x008E)
class OwnChat(Packet, frozen=True, kw_only=True):
    """008e: a line in the client's chat window; a relay can tell its player something."""

    text: bytes


@packet(CLIENT_TO_MAP, 0x0437)
class Action(Packet, frozen=True, kw_only=True):
    """0437. action: 0 hit once, 7 keep hitting, 2 sit, 3 stand."""

    target_id: int
    action: int
