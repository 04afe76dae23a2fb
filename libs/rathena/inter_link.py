"""Packets of the link itself: login, keepalive, which maps and which players a map-server has. Source: rAthena ids
2af8-2b24."""

from collections.abc import Iterable
from typing import Self

from libs.rathena.packets import Packet, packet
from libs.rathena.tables import CHAR_TO_MAP, MAP_TO_CHAR
from libs.rathena.values import join_names, split_names

_USER_BYTES = 8


@packet(MAP_TO_CHAR, 0x2AF8)
class MapLogin(Packet, frozen=True, kw_only=True):
    """2af8, first on the link. userid, passwd: 23 bytes at most. map_ip: 4 bytes. The char-server tells clients this
    address."""

    userid: bytes
    passwd: bytes
    zero: int = 0
    map_ip: bytes
    map_port: int


@packet(CHAR_TO_MAP, 0x2AF9)
class LoginAck(Packet, frozen=True, kw_only=True):
    """2af9. error: 0 welcome, 3 refused; on anything but 0 the map-server ends its process."""

    error: int = 0


class _MapList(Packet, frozen=True, kw_only=True):
    """maps: names padded to 16 bytes each."""

    maps: bytes

    @property
    def names(self) -> list[bytes]:
        return split_names(self.maps)


@packet(MAP_TO_CHAR, 0x2AFA)
class SendMaps(_MapList, frozen=True, kw_only=True):
    """2afa: every map of this server; said again, it replaces the list. Answered by 2afb."""

    @classmethod
    def of(cls, names: Iterable[bytes]) -> Self:
        """Raises: OverflowError for a name above 16 bytes."""
        return cls(maps=join_names(names))


@packet(CHAR_TO_MAP, 0x2AFB)
class MapsAck(Packet, frozen=True, kw_only=True):
    """2afb: with this the map-server is ready. error: 0. The names (24 bytes) are the char-server's for whispers and its
    own."""

    error: int = 0
    whisper_name: bytes
    server_name: bytes


@packet(CHAR_TO_MAP, 0x2B04)
class OtherMaps(_MapList, frozen=True, kw_only=True):
    """2b04: maps that live at ip:port. The last word on a map counts, but a map the receiver loaded itself stays local. Never
    say a map-server its own address: with a map it has not loaded it ends its process."""

    ip: bytes
    port: int

    @classmethod
    def of(cls, ip: bytes, port: int, names: Iterable[bytes]) -> Self:
        """Raises: OverflowError for a name above 16 bytes."""
        return cls(ip=ip, port=port, maps=join_names(names))


@packet(CHAR_TO_MAP, 0x2B20)
class RemoveMaps(_MapList, frozen=True, kw_only=True):
    """2b20: the server at ip:port has gone. Stock map-servers erase nothing and stop talking to others: never say it."""

    ip: bytes
    port: int


@packet(MAP_TO_CHAR, 0x2AFE)
class UserCount(Packet, frozen=True, kw_only=True):
    """2afe, every 10 s: players on this server."""

    users: int


@packet(CHAR_TO_MAP, 0x2B00)
class TotalUsers(Packet, frozen=True, kw_only=True):
    """2b00: players on all servers, when it changed. The map-server answers with 2b23."""

    users: int


@packet(MAP_TO_CHAR, 0x2AFF)
class RegisterUsers(Packet, frozen=True, kw_only=True):
    """2aff, after 2afb: who is on this server. Whoever of the slot is not listed counts as lost. users: 8 bytes each."""

    count: int
    users: bytes

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> Self:
        """pairs: (account id, char id), at most 8,191 of them in one packet."""
        rows = [account.to_bytes(4, "little") + char.to_bytes(4, "little") for account, char in pairs]
        return cls(count=len(rows), users=b"".join(rows))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(account id, char id) of each."""
        rows = range(0, len(self.users) - _USER_BYTES + 1, _USER_BYTES)
        number = int.from_bytes
        return [(number(self.users[at : at + 4], "little"), number(self.users[at + 4 : at + 8], "little")) for at in rows]


@packet(MAP_TO_CHAR, 0x2B23)
class Keepalive(Packet, frozen=True, kw_only=True):
    """2b23, after 60 s in which the char-server said nothing, and to each 2b00. Answered by 2b24."""


@packet(CHAR_TO_MAP, 0x2B24)
class KeepaliveAck(Packet, frozen=True, kw_only=True):
    """2b24."""


@packet(CHAR_TO_MAP, 0x2B1E)
class IpSyncRequest(Packet, frozen=True, kw_only=True):
    """2b1e: has your address changed? Answered by 2b13."""


@packet(MAP_TO_CHAR, 0x2B13)
class UpdateMapIp(Packet, frozen=True, kw_only=True):
    """2b13: my address is now this one."""

    map_ip: bytes


@packet(MAP_TO_CHAR, 0x2B18)
class AllCharsOffline(Packet, frozen=True, kw_only=True):
    """2b18, as the map-server ends: everybody of this slot is offline."""


@packet(CHAR_TO_MAP, 0x388C)
class StorageTables(Packet, frozen=True, kw_only=True):
    """388c, right after 2af9 and never again. tables: rows of s_storage_table."""

    tables: bytes


@packet(MAP_TO_CHAR, 0x3040)
class GuildCastleLoad(Packet, frozen=True, kw_only=True):
    """3040, at link-up. castle_ids: i32 each. Answered by 3840."""

    castle_ids: bytes


@packet(CHAR_TO_MAP, 0x3840)
class GuildCastles(Packet, frozen=True, kw_only=True):
    """3840. castles: rows of guild_castle; a pointer in each means nothing."""

    castles: bytes


@packet(MAP_TO_CHAR, 0x30A0)
class ClanListRequest(Packet, frozen=True, kw_only=True):
    """30a0, at link-up. Answered by 38a0."""


@packet(CHAR_TO_MAP, 0x38A0)
class Clans(Packet, frozen=True, kw_only=True):
    """38a0. clans: rows of clan; the pointers in them mean nothing."""

    clans: bytes
