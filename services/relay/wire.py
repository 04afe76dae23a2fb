"""The packets a relay reads as they pass, and those it makes. Pure."""

from ipaddress import IPv6Address, ip_address
from typing import Final

import msgspec

from libs.link.messages import Serve
from libs.rathena import client
from libs.rathena.tables import CLIENT_TO_MAP, MAP_TO_CLIENT
from libs.rathena.values import MAP_NAME_BYTES, cut, gat, unpack_cell, unpack_step
from libs.rathena.watch import Watched

ENTER, LOAD_END, TICK = client.Enter.packet_id, client.LoadEndAck.packet_id, client.Tick.packet_id
ACCEPT, REASON = client.AcceptEnter.packet_id, client.DisconnectReason.packet_id
REFUSALS: Final = frozenset({REASON, client.RefuseLogin.packet_id, client.RefuseEnter.packet_id})
MAP_MOVE, SERVER_MOVE = client.MapMove.packet_id, client.ServerMove.packet_id
WALK, STAND = client.WalkOk.packet_id, client.FixPos.packet_id
RESTART, QUIT = client.RestartAck.packet_id, client.QuitAck.packet_id

FROM_CLIENT: Final = Watched(CLIENT_TO_MAP, {LOAD_END, TICK})
FROM_SERVER: Final = Watched(MAP_TO_CLIENT, {*REFUSALS, ACCEPT, MAP_MOVE, SERVER_MOVE, WALK, STAND, RESTART, QUIT})
STEPS: Final = frozenset({WALK, STAND})
STEP_BYTES_MAX: Final = MAP_TO_CLIENT.lengths[WALK]
ENTER_BYTES: Final = CLIENT_TO_MAP.lengths[ENTER]
LOADED: Final = client.LoadEndAck().pack()

CODE_SERVER_CLOSED, CODE_CROWDED, CODE_ADDRESS, CODE_FORCED = 1, 4, 9, 15
"""0081: the server closed; too many players; too many from one address; what a map-server that ends says to everybody."""
GOING_CODES: Final = frozenset({CODE_SERVER_CLOSED, CODE_FORCED})
"""A server that says this goes away: not the player's fault, he is kept."""
CELL_MAX: Final = 32_767
_BASE_LEVEL, _JOB_LEVEL, _ZENY = 11, 55, 20
_VALUE_MAX: Final = 2**31 - 1
_NOWHERE: Final = b"\0\0\0\0"


class Place(msgspec.Struct, frozen=True, gc=False):
    """map: without extension. x, y: cells."""

    map: str
    x: int
    y: int


def u16_at(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8


id_at = u16_at


def length_at(data: bytes, at: int) -> int:
    """Of a watched packet of a server; all of them are of fixed length."""
    return MAP_TO_CLIENT.lengths[id_at(data, at)]


def u32_at(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def moved_to(packet: bytes) -> Place | None:
    """Where 0091 or 0ac7 sends the client, both begin alike; None: no place, no stock server says this."""
    raw = cut(packet[2:18]).removesuffix(b".gat")
    x, y = u16_at(packet, 18), u16_at(packet, 20)
    if not raw or not raw.isascii() or x > CELL_MAX or y > CELL_MAX:
        return None
    return Place(raw.decode("ascii"), x, y)


def accepted_at(packet: bytes) -> tuple[int, int]:
    """02eb: the cell the server put him on."""
    cell = unpack_cell(packet[6:9])
    return cell.x, cell.y


def stepped_to(packet: bytes) -> tuple[int, int]:
    """0087: the cell the player is on his way to; 0088: the cell he stands on. What follows the packet does not matter."""
    if id_at(packet, 0) == STAND:
        return min(u16_at(packet, 6), CELL_MAX), min(u16_at(packet, 8), CELL_MAX)
    step = unpack_step(packet[6:12])
    return step.x1, step.y1


def map_move(place: Place) -> bytes:
    return client.MapMove(map=gat(place.map), x=place.x, y=place.y).pack()


def reason(code: int) -> bytes:
    return client.DisconnectReason(code=code).pack()


def tick_answer(server_tick: int) -> bytes:
    return client.TickAck(server_tick=server_tick & 0xFFFF_FFFF).pack()


def resync(serve: Serve) -> bytes:
    """What the client may hold newer than the save the new server read: it is told again."""
    packets = [
        client.Param(type=kind, value=min(value, _VALUE_MAX))
        for kind, value in ((_BASE_LEVEL, serve.base_level), (_JOB_LEVEL, serve.job_level))
        if value is not None
    ]
    zeny = [] if serve.zeny is None else [client.LongParam(type=_ZENY, value=min(serve.zeny, _VALUE_MAX))]
    return b"".join(packet.pack() for packet in (*packets, *zeny))


def wrong_with(serve: Serve) -> str | None:
    """Why this placement cannot be tried."""
    if not serve.address and not serve.key:
        return "no address"
    if len(serve.enter) != ENTER_BYTES or id_at(serve.enter, 0) != ENTER:
        return "no 0436 to say"
    if not serve.map or not serve.map.isascii() or len(gat(serve.map)) > MAP_NAME_BYTES:
        return "no map name"
    return None


def client_ip(address: str) -> bytes:
    """4 bytes for the char-server; zeros for who has none (IPv6)."""
    try:
        ip = ip_address(address)
    except ValueError:
        return _NOWHERE
    if isinstance(ip, IPv6Address):
        return ip.ipv4_mapped.packed if ip.ipv4_mapped else _NOWHERE
    return ip.packed


def household(address: str) -> str:
    """What the limit of an address counts by: an IPv6 customer has a /64 to himself."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped) if ip.ipv4_mapped else ip.packed[:8].hex()
    return str(ip)
