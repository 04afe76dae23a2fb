"""Packets about where a character is: entering, changing the server, leaving. Source: rAthena ids 2afd-2b27, 3007, 3025."""

from libs.rathena.packets import Packet, packet
from libs.rathena.structs import CHARACTER, Layout, Point, integer, last_point, raw
from libs.rathena.tables import CHAR_TO_MAP, MAP_TO_CHAR


class Player(Packet, frozen=True, kw_only=True):
    """What most packets about a player begin with."""

    account_id: int
    char_id: int


@packet(MAP_TO_CHAR, 0x2B26)
class AuthRequest(Player, frozen=True, kw_only=True):
    """2b26: may this client, which said 0436, play? client_ip: 4 bytes. Answered by 2afd or 2b27. What allows it serves
    once."""

    login_id1: int
    sex: int
    client_ip: bytes
    autotrade: int = 0


@packet(CHAR_TO_MAP, 0x2AFD)
class AuthOk(Packet, frozen=True, kw_only=True):
    """2afd: yes, and this is the character. login_id2 is told nowhere else. status: mmo_charstatus."""

    account_id: int
    login_id1: int
    login_id2: int
    expiration: int
    group_id: int
    changing_map_servers: int
    status: bytes

    def char_id(self, layout: Layout) -> int:
        """Raises: BadStruct where status is not of the layout's build."""
        return integer(layout, CHARACTER, self.status, "char_id")

    def char_name(self, layout: Layout) -> bytes:
        """24 bytes, padded. Raises: BadStruct, as above."""
        return raw(layout, CHARACTER, self.status, "name")

    def last_point(self, layout: Layout) -> Point:
        """Where the character enters. Raises: BadStruct, as above."""
        return last_point(layout, self.status)


@packet(CHAR_TO_MAP, 0x2B27)
class AuthFailed(Player, frozen=True, kw_only=True):
    """2b27: no."""

    login_id1: int
    sex: int
    client_ip: bytes


class _Change(Player, frozen=True, kw_only=True):
    """map: 16 bytes. dest_ip: 4 bytes."""

    login_id1: int
    login_id2: int
    map: bytes
    x: int
    y: int
    dest_ip: bytes
    dest_port: int


@packet(MAP_TO_CHAR, 0x2B05)
class ChangeMapServer(_Change, frozen=True, kw_only=True):
    """2b05: the player goes to this map at that server. Map and address must be those of a slot. Answered by 2b06."""

    sex: int
    client_ip: bytes
    group_id: int


@packet(CHAR_TO_MAP, 0x2B06)
class ChangeMapServerAck(_Change, frozen=True, kw_only=True):
    """2b06: repeats 2b05 up to the port; login_id1 is 0 where it was refused."""

    @property
    def accepted(self) -> bool:
        return self.login_id1 != 0


@packet(MAP_TO_CHAR, 0x2B02)
class CharSelectRequest(Packet, frozen=True, kw_only=True):
    """2b02: back to the choice of characters. Answered by 2b03."""

    account_id: int
    login_id1: int
    login_id2: int
    client_ip: bytes


@packet(CHAR_TO_MAP, 0x2B03)
class CharSelectAck(Packet, frozen=True, kw_only=True):
    """2b03. ok: 1 granted."""

    account_id: int
    ok: int = 1


@packet(MAP_TO_CHAR, 0x2B17)
class CharOffline(Player, frozen=True, kw_only=True):
    """2b17: gone without a final save. On the wire the character stands before the account."""


@packet(CHAR_TO_MAP, 0x2B1F)
class DisconnectPlayer(Packet, frozen=True, kw_only=True):
    """2b1f. reason: 1 server closed, 2 logged in elsewhere, 3 overpopulated, 4 out of time, 5 by a GM."""

    account_id: int
    reason: int = 2


@packet(CHAR_TO_MAP, 0x2B14)
class Ban(Packet, frozen=True, kw_only=True):
    """2b14, to all slots. type: 0 status change, 1 id is an account, 2 id is a character."""

    id: int
    type: int
    value: int


@packet(MAP_TO_CHAR, 0x2B08)
class SearchCharName(Packet, frozen=True, kw_only=True):
    """2b08: who is this character? Answered by 2b09."""

    char_id: int


@packet(CHAR_TO_MAP, 0x2B09)
class CharName(Packet, frozen=True, kw_only=True):
    """2b09. name: 24 bytes."""

    char_id: int
    name: bytes


@packet(MAP_TO_CHAR, 0x3007)
class AccountInfoRequest(Packet, frozen=True, kw_only=True):
    """3007, by a GM. requester_fd: the map-server's own number, comes back in 3807, 3808."""

    requester_fd: int
    account_id: int
    group_level: int
    query: bytes


@packet(MAP_TO_CHAR, 0x3025)
class PartyChangeMap(Player, frozen=True, kw_only=True):
    """3025: a party member came online, went, or changed the map. map: 16 bytes."""

    party_id: int
    online: int
    level: int
    map: bytes


@packet(MAP_TO_CHAR, 0x3035)
class GuildMemberInfoShort(Player, frozen=True, kw_only=True):
    """3035: the same of a guild member."""

    guild_id: int
    online: int
    level: int
    class_: int
