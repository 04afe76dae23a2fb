"""What the twin char-server keeps, and what arrived: everything a test asserts on. No packets are made here."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from libs.rathena.keys import Key
from libs.rathena.structs import CHARACTER, patched, shipped
from libs.rathena.values import cut
from tests.rathena.twin.people import CART, INVENTORY, STORAGE_TABLE, Person, Saved, empty_storage, saved_of, status_of

LOG_MAX: Final = 200_000
"""Arrived packets kept, the oldest go first: an hour of 50 players."""
SAVES_MAX: Final = 50_000
LOST: Final = -1
"""Online, but its slot has gone or does not list it: the stock char-server's `unknown`."""


class Arrived(NamedTuple):
    """One packet of a map-server. slot: its number, from 0."""

    t_ms: int
    slot: int
    packet_id: int
    key: Key
    size: int


class SaveLine(NamedTuple):
    """One accepted 2b01."""

    t_ms: int
    slot: int
    final: int
    saved: Saved


class Node(NamedTuple):
    """What lets a client in once. char_id: 0 at the choice of characters."""

    account_id: int
    char_id: int
    login_id1: int
    login_id2: int
    changing: int = 0


@dataclass
class CharRecord:
    """status: mmo_charstatus as the char-server has it in mind: the last save, and where 2b05 put him. written: as its database
    has it. storages: table -> s_storage; table 3 is the account's. registry: every 3004 as it came. sc_rows, bonus_rows,
    cooldown_rows: count and rows of the last."""

    person: Person
    status: bytes
    storages: dict[int, bytes]
    registry: list[bytes] = field(default_factory=list)
    sc_rows: tuple[int, bytes] = (0, b"")
    bonus_rows: tuple[int, bytes] = (0, b"")
    cooldown_rows: tuple[int, bytes] = (0, b"")
    quests: bytes = b""
    achievements: bytes = b""
    written: bytes = b""

    def __post_init__(self) -> None:
        self.written = self.status

    @property
    def saved(self) -> Saved:
        return saved_of(self.written)

    def set(self, status: bytes) -> None:
        """As of a char-server that has it so from the start."""
        self.written = self.status = status

    def save(self, status: bytes) -> None:
        """Written where it differs from what is in mind, as mmo_char_tosql does."""
        if status != self.status:
            self.set(status)

    def read(self) -> None:
        """What was in mind is forgotten when he goes offline, and read anew."""
        self.status = self.written

    def place(self, map_name: bytes, x: int, y: int) -> None:
        values: dict[str, int | bytes] = {"last_point.map": cut(map_name), "last_point.x": x, "last_point.y": y}
        self.status = patched(shipped(), CHARACTER, self.status, values)


@dataclass
class Store:
    """chars: by character id. online: character id -> slot number, or LOST. saves: 2b01 in order, over all characters.
    unmodelled: packets that were taken without an answer, by id."""

    chars: dict[int, CharRecord] = field(default_factory=dict)
    char_of: dict[int, int] = field(default_factory=dict)
    nodes: dict[int, Node] = field(default_factory=dict)
    online: dict[int, int] = field(default_factory=dict)
    log: deque[Arrived] = field(default_factory=lambda: deque(maxlen=LOG_MAX))
    saves: deque[SaveLine] = field(default_factory=lambda: deque(maxlen=SAVES_MAX))
    save_counts: Counter[int] = field(default_factory=Counter)
    unmodelled: Counter[int] = field(default_factory=Counter)
    clan_online: Counter[int] = field(default_factory=Counter)

    def add(self, person: Person, status: bytes) -> CharRecord:
        owners = {INVENTORY: person.char_id, CART: person.char_id, STORAGE_TABLE: person.account_id}
        storages = {table: empty_storage(table, owner) for table, owner in owners.items()}
        self.chars[person.char_id] = record = CharRecord(person, status, storages)
        self.char_of[person.account_id] = person.char_id
        return record

    def settle(self, people: Iterable[Person], map_name: str, x: int, y: int) -> None:
        """All of them on one map, with fresh characters."""
        for who in people:
            self.add(who, status_of(who, map_name, x, y))

    def forget(self) -> None:
        """What a char-server that starts again has not in its database: who is in the game, and what lets clients in."""
        self.online.clear()
        self.nodes.clear()

    def of_account(self, account_id: int) -> CharRecord | None:
        return self.chars.get(self.char_of.get(account_id, 0))

    def named(self, name: bytes) -> CharRecord | None:
        return next((record for record in self.chars.values() if record.person.name == name), None)

    def saved(self, char_id: int) -> Saved:
        """The last saved state. Raises: KeyError."""
        return self.chars[char_id].saved

    def saves_of(self, char_id: int) -> list[SaveLine]:
        return [line for line in self.saves if line.saved.char_id == char_id]

    def arrived(self, *packet_ids: int, char_id: int | None = None, account_id: int | None = None) -> list[Arrived]:
        """What came with one of these ids (any without), of this character or account (any without)."""
        return [
            line
            for line in self.log
            if (not packet_ids or line.packet_id in packet_ids)
            and (char_id is None or line.key.char_id == char_id)
            and (account_id is None or line.key.account_id == account_id)
        ]
