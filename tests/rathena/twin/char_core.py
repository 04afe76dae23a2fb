"""The twin char-server: packets of map-servers in, packets to them out. Called by `char.py` over TCP and by the capture replay.

Two slots, one for each connection that said 2af8. What is not modelled is taken and counted (`Store.unmodelled`); an id that
does not exist costs the connection. As stock, it accepts any save, from whomever.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import count
from typing import Final

from libs.rathena import inter
from libs.rathena.keys import NOBODY, key_of
from libs.rathena.packets import BadPacket
from libs.rathena.tables import MAP_TO_CHAR
from libs.rathena.values import ip_text
from tests.rathena.twin import char_data, char_players, char_talk
from tests.rathena.twin.effects import Cut, Effect, Note, Outbox, id_of, quiet, sized
from tests.rathena.twin.store import LOST, Arrived, Node, Store

SLOTS_MAX: Final = 2
"""MAX_MAP_SERVERS of the stock build."""
USERS_CHECK_MS: Final = 5_000
WELCOME, REFUSED = 0, 3
UNKNOWN: Final = -1
CASTLES_BYTES: Final = 9_856
CLANS_BYTES: Final = 17_088
TABLES_BYTES: Final = 284


@dataclass
class Slot:
    """One map-server's connection. number: 0 or 1. maps: as it said them in 2afa. users: by its 2afe and what changed since."""

    link: int
    number: int
    ip: bytes
    port: int
    maps: list[bytes] = field(default_factory=list)
    users: int = 0


@dataclass(frozen=True)
class Ticket:
    """What the login and char legs leave a client with: say 0436 with it at ip:port."""

    account_id: int
    char_id: int
    login_id1: int
    login_id2: int
    sex: int
    map: str
    ip: str
    port: int


class CannotLogIn(Exception):
    """No slot has the character's map, or the character is still in the game (its slot was told 2b1f): try again."""


class CharCore:
    """slots: by connection. now_ms: the last time heard of. started: it has told a total that nobody knows. The handlers by
    packet id are in char_players, char_data, char_talk."""

    def __init__(
        self, store: Store, *, slots_max: int = SLOTS_MAX, note: Note = quiet, password: bytes = b"p1", started: bool = False
    ) -> None:
        self.store = store
        self.slots: dict[int, Slot] = {}
        self.out = Outbox()
        self.now_ms = 0
        self.note = note
        self.talk = char_talk.Whispers()
        self._slots_max = slots_max
        self._password = password
        self._login_ids = count(0x5EC1_A7E3, 0x0001_0B3D)
        self._users_told = UNKNOWN if started else 0
        self._due_ms = USERS_CHECK_MS
        modules = (char_players.HANDLERS, char_data.HANDLERS, char_talk.HANDLERS)
        known = {number: handler for handlers in modules for number, handler in handlers.items()}
        self._handlers: dict[int, Callable[[Slot, bytes], None]] = {n: partial(h, self) for n, h in known.items()}
        self._handlers |= {0x2AFA: self._on_maps, 0x2AFE: self._on_users, 0x3040: self._on_castles, 0x30A0: self._on_clans}
        self._handlers |= {0x2B23: self._on_keepalive}

    def received(self, link: int, packet: bytes, now_ms: int) -> list[Effect]:
        self.now_ms = now_ms
        packet_id = id_of(packet)
        slot = self.slots.get(link)
        try:
            if packet_id not in MAP_TO_CHAR.kinds or (slot is None) != (packet_id == inter.MapLogin.packet_id):
                self.out.add(Cut(link))
            elif slot is None:
                self._on_login(link, packet)
            else:
                self._on_packet(slot, packet_id, packet)
        except BadPacket as bad:
            self.note("bad_packet", {"reason": str(bad)})
            self.out.add(Cut(link))
        return self.out.take()

    def closed(self, link: int, now_ms: int) -> list[Effect]:
        """Its maps are gone, its characters are lost, not offline."""
        self.now_ms = now_ms
        if slot := self.slots.pop(link, None):
            for other in self.slots.values():
                self.out.send(other.link, inter.RemoveMaps(ip=slot.ip, port=slot.port, maps=inter.SendMaps.of(slot.maps).maps))
            for char_id in self.on_slot(slot):
                self.store.online[char_id] = LOST
            self.note("slot_gone", {"slot": slot.number})
        return self.out.take()

    def due_ms(self) -> int:
        return self._due_ms

    def advance(self, now_ms: int) -> list[Effect]:
        """Time passes: 2b00 where the total changed."""
        self.now_ms = now_ms
        while self._due_ms <= now_ms:
            self._due_ms += USERS_CHECK_MS
            self.check_users()
        return self.out.take()

    def phase(self, due_ms: int) -> None:
        """The next check of the total is then."""
        self._due_ms = due_ms

    def check_users(self) -> None:
        total = sum(slot.users for slot in self.slots.values())
        if total != self._users_told:
            self._users_told = total
            self.to_all(inter.TotalUsers(users=total).pack())

    def login(self, account_id: int) -> Ticket:
        """In place of the login and char legs. Raises: CannotLogIn."""
        record = self.store.of_account(account_id)
        assert record is not None, f"no account {account_id}"
        who, saved = record.person, record.saved
        at = self.slot_with(saved.map.encode())
        if at is None:
            raise CannotLogIn(f"no map-server has {saved.map}")
        if self.slot_number(self.store.online.get(who.char_id)) is not None:
            self.kick(account_id, char_players.LOGGED_IN_ELSEWHERE)
            raise CannotLogIn(f"{who.name!r} is still in the game")
        known = self.store.nodes.get(account_id)
        id1, id2 = (known.login_id1, known.login_id2) if known and not known.char_id else (self._login_id(), self._login_id())
        self.store.nodes[account_id] = Node(account_id, who.char_id, id1, id2)
        return Ticket(account_id, who.char_id, id1, id2, who.sex, saved.map, ip_text(at.ip), at.port)

    def kick(self, account_id: int, reason: int) -> None:
        at = self.slot_number(self.store.online.get(self.store.char_of.get(account_id, 0)))
        if at is not None:
            self.out.send(at.link, inter.DisconnectPlayer(account_id=account_id, reason=reason))

    def _login_id(self) -> int:
        return next(self._login_ids) * 0x9E37_79B1 & 0xFFFF_FFFF or 1

    def slot_with(self, map_name: bytes) -> Slot | None:
        return next((slot for slot in self.slots.values() if map_name in slot.maps), None)

    def slot_number(self, number: int | None) -> Slot | None:
        return next((slot for slot in self.slots.values() if slot.number == number), None)

    def on_slot(self, slot: Slot) -> list[int]:
        return [char_id for char_id, number in self.store.online.items() if number == slot.number]

    def to_all(self, data: bytes, but: Slot | None = None) -> None:
        for slot in self.slots.values():
            if slot is not but:
                self.out.send(slot.link, data)

    def _on_packet(self, slot: Slot, packet_id: int, packet: bytes) -> None:
        try:
            key = key_of(MAP_TO_CHAR, packet)
        except BadPacket:
            key = NOBODY
        self.store.log.append(Arrived(self.now_ms, slot.number, packet_id, key, len(packet)))
        if handler := self._handlers.get(packet_id):
            handler(slot, packet)
        else:
            self.store.unmodelled[packet_id] += 1

    def _on_login(self, link: int, packet: bytes) -> None:
        login = inter.MapLogin.unpack(packet)
        free = [n for n in range(self._slots_max) if self.slot_number(n) is None]
        if not free or login.passwd.rstrip(b"\0") != self._password:
            self.note("map_server_refused", {"port": login.map_port})
            self.out.send(link, inter.LoginAck(error=REFUSED))
            return
        self.slots[link] = Slot(link, free[0], login.map_ip, login.map_port)
        self.note("map_server", {"slot": free[0], "port": login.map_port})
        self.out.send(link, inter.LoginAck(error=WELCOME))
        self.out.send(link, _storage_tables())

    def _on_maps(self, slot: Slot, packet: bytes) -> None:
        slot.maps = inter.SendMaps.unpack(packet).names
        self.out.send(slot.link, inter.MapsAck(whisper_name=b"Server", server_name=b"TwinRO"))
        self.out.send(slot.link, sized(0x2B1B, bytes([8, 0, 8, 0])))
        for other in self.slots.values():
            if other is not slot and slot.maps:
                self.out.send(other.link, inter.OtherMaps.of(slot.ip, slot.port, slot.maps))
        for other in self.slots.values():
            if other is not slot and other.maps:
                self.out.send(slot.link, inter.OtherMaps.of(other.ip, other.port, other.maps))

    def _on_users(self, slot: Slot, packet: bytes) -> None:
        slot.users = inter.UserCount.unpack(packet).users

    def _on_keepalive(self, slot: Slot, packet: bytes) -> None:
        self.out.send(slot.link, inter.KeepaliveAck())

    def _on_castles(self, slot: Slot, packet: bytes) -> None:
        self.out.send(slot.link, _castles())

    def _on_clans(self, slot: Slot, packet: bytes) -> None:
        self.out.send(slot.link, _clans())


@cache
def _storage_tables() -> bytes:
    row = b"\1Storage".ljust(25, b"\0") + b"storage"
    return sized(0x388C, row.ljust(TABLES_BYTES, b"\0"))


@cache
def _castles() -> bytes:
    return sized(0x3840, bytes(CASTLES_BYTES))


@cache
def _clans() -> bytes:
    return sized(0x38A0, bytes(CLANS_BYTES))
