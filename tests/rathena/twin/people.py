"""Made-up accounts and characters, and the big structs nobody fills, made once. Numbers as in the recordings: account
2000001 has character 150001."""

from dataclasses import dataclass
from functools import cache
from typing import Final

from libs.rathena.structs import CHARACTER, STORAGE, integer, patched, read, shipped
from libs.rathena.values import cut

ACCOUNT_FIRST: Final = 2_000_001
CHAR_FIRST: Final = 150_001
INVENTORY, CART, STORAGE_TABLE = 1, 2, 3
_PLACES: Final = {INVENTORY: 200, CART: 100, STORAGE_TABLE: 600}


@dataclass(frozen=True)
class Person:
    """An account and its one character. sex: 0 female, 1 male. party_id: 0 for none."""

    account_id: int
    char_id: int
    name: bytes
    group_id: int = 0
    sex: int = 1
    party_id: int = 0


@dataclass(frozen=True)
class Saved:
    """What of a character's status tests look at. map: without .gat."""

    char_id: int
    account_id: int
    name: str
    map: str
    x: int
    y: int
    zeny: int
    base_exp: int
    base_level: int
    job_level: int


def person(number: int, group_id: int = 0, party_id: int = 0) -> Person:
    """The number-th of the made-up, from 0."""
    return Person(ACCOUNT_FIRST + number, CHAR_FIRST + number, f"Twin{number + 1:03d}".encode(), group_id, party_id=party_id)


def status_of(who: Person, map_name: str, x: int, y: int, zeny: int = 1_000) -> bytes:
    """An mmo_charstatus as a fresh char-server holds it."""
    values: dict[str, int | bytes] = {
        "char_id": who.char_id,
        "account_id": who.account_id,
        "name": who.name,
        "sex": who.sex,
        "zeny": zeny,
        "party_id": who.party_id,
    }
    for point in ("last_point", "save_point"):
        values |= {f"{point}.map": map_name.encode(), f"{point}.x": x, f"{point}.y": y}
    return patched(shipped(), CHARACTER, _novice(), values)


def saved_of(status: bytes) -> Saved:
    layout = shipped()
    point = read(layout, CHARACTER, status, "last_point")
    names = ("char_id", "account_id", "zeny", "base_exp", "base_level", "job_level")
    numbers = {name: integer(layout, CHARACTER, status, name) for name in names}
    name = cut(read(layout, CHARACTER, status, "name")).decode("utf-8", "backslashreplace")
    return Saved(name=name, map=cut(point["map"]).decode(), x=point["x"], y=point["y"], **numbers)


@cache
def empty_storage(table: int, owner: int) -> bytes:
    """An s_storage without items. owner: the character, of table 3 the account."""
    values: dict[str, int | bytes] = {"id": owner, "type": table, "max_amount": _PLACES.get(table, 600), "state.put": 1}
    return patched(shipped(), STORAGE, bytes(shipped().structs[STORAGE].size), {**values, "state.get": 1})


def with_item(storage: bytes, nameid: int, amount: int) -> bytes:
    """The same storage with amount items of a kind at its first place."""
    item = "u.items_inventory[0]"
    return patched(shipped(), STORAGE, storage, {"amount": 1, f"{item}.nameid": nameid, f"{item}.amount": amount})


@cache
def _novice() -> bytes:
    values: dict[str, int | bytes] = {
        "base_level": 10,
        "job_level": 5,
        "status_point": 25,
        "hp": 200,
        "max_hp": 500,
        "sp": 26,
        "max_sp": 26,
        "hair": 1,
        "inventory_slots": 100,
        **dict.fromkeys(("str", "agi", "vit", "int_", "dex", "luk"), 5),
    }
    return patched(shipped(), CHARACTER, bytes(shipped().structs[CHARACTER].size), values)
