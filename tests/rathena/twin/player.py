"""A player on a twin map-server: what is known of him and the packets that save him. Source: FACTS 3, captures s2, s4, s6."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from libs.rathena import inter
from libs.rathena.structs import CHARACTER, integer, patched, raw, shipped
from libs.rathena.values import cut
from tests.rathena.twin.effects import u32
from tests.rathena.twin.people import CART, INVENTORY, with_item

ITEM_ID: Final = 501
_TABLES = 3


class Phase(Enum):
    """AUTH: 2b26 is out. PLAYING: from 2afd on. MOVING: 2b05 is out. LEAVING: the client has gone, the final save is out."""

    AUTH = "auth"
    PLAYING = "playing"
    MOVING = "moving"
    LEAVING = "leaving"


@dataclass
class Player:
    """client: the connection's number, None where there is none any more. storages: table -> s_storage as it came.

    registry_seen: kinds of 3804 that came. entered: the client said 007d and was shown what is around. dirty: 3004 is due.
    moving_to: what 2b05 said, to be said again after a relink. final_ms: when the final save went out.
    """

    account_id: int
    char_id: int
    login_id1: int
    sex: int
    client: int | None
    phase: Phase = Phase.AUTH
    login_id2: int = 0
    group_id: int = 0
    status: bytes = b""
    name: bytes = b""
    map: str = ""
    x: int = 0
    y: int = 0
    zeny: int = 0
    base_exp: int = 0
    party_id: int = 0
    guild_id: int = 0
    picked: int = 0
    storages: dict[int, bytes] = field(default_factory=dict)
    registry_seen: set[int] = field(default_factory=set)
    asked_storages: bool = False
    load_end_waits: bool = False
    entered: bool = False
    dirty: bool = False
    moving_to: bytes = b""
    final_ms: int = 0
    heard_ms: int = 0
    auth_ms: int = 0

    @property
    def loaded(self) -> bool:
        return len(self.storages) == _TABLES

    def admit(self, answer: inter.AuthOk) -> None:
        """2afd."""
        layout, status = shipped(), answer.status
        point = answer.last_point(layout)
        self.phase = Phase.PLAYING
        self.login_id2, self.group_id, self.status = answer.login_id2, answer.group_id, status
        self.name, self.map, self.x, self.y = (
            cut(raw(layout, CHARACTER, status, "name")),
            cut(point.map).decode(),
            point.x,
            point.y,
        )
        numbers = ("zeny", "base_exp", "party_id", "guild_id")
        self.zeny, self.base_exp, self.party_id, self.guild_id = (integer(layout, CHARACTER, status, name) for name in numbers)

    def gain(self, zeny: int, base_exp: int) -> None:
        self.zeny += zeny
        self.base_exp += base_exp
        self.dirty = True

    def pick(self) -> int:
        """One more of an item; how many he has picked up here."""
        self.picked += 1
        self.storages[INVENTORY] = with_item(self.storages[INVENTORY], ITEM_ID, self.picked)
        return self.picked

    def current_status(self) -> bytes:
        values: dict[str, int | bytes] = {
            "last_point.map": self.map.encode(),
            "last_point.x": self.x,
            "last_point.y": self.y,
            "zeny": self.zeny,
            "base_exp": self.base_exp,
            "character_moves": 0,
        }
        if INVENTORY not in self.storages:  # as stock: HP and SP are reckoned when the inventory is there
            values |= {"hp": 0, "sp": 0}
        self.status = patched(shipped(), CHARACTER, self.status, values)
        return self.status

    def autosave(self) -> list[bytes]:
        """2b2e 308b 308b [3004] 2b01, final=0."""
        return [*self._bonus_and_items(), *self._registry(), self._save(final=0)]

    def leaving_save(self, *, final: int) -> list[bytes]:
        """[3004] 2b1c 2b2e 308b 308b 2b01."""
        effects = inter.ScdataSave(account_id=self.account_id, char_id=self.char_id)
        return [*self._registry(), effects.pack(), *self._bonus_and_items(), self._save(final=final)]

    def final_save(self) -> list[bytes]:
        return self.leaving_save(final=1)

    def offline(self) -> bytes:
        return inter.CharOffline(account_id=self.account_id, char_id=self.char_id).pack()

    def _bonus_and_items(self) -> list[bytes]:
        tables = [table for table in (INVENTORY, CART) if table in self.storages]
        saves = [
            inter.StorageSave(account_id=self.account_id, char_id=self.char_id, table=t, storage=self.storages[t]).pack()
            for t in tables
        ]
        return [inter.BonusScriptSave(char_id=self.char_id).pack(), *saves]

    def _registry(self) -> list[bytes]:
        if not self.dirty:
            return []
        self.dirty = False
        row = b"\5ARG0\0" + u32(0) + b"\1"
        return [inter.RegistrySave(account_id=self.account_id, char_id=self.char_id, count=1, vars=row).pack()]

    def _save(self, *, final: int) -> bytes:
        status = self.current_status()
        return inter.SaveChar(account_id=self.account_id, char_id=self.char_id, final=final, status=status).pack()
