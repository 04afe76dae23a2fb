"""The twin char-server on what it keeps of a character: loads and saves. As stock, a save is accepted from whomever.

Source: FACTS 2, 3.
"""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Final

from libs.rathena import inter
from libs.rathena.structs import patched, rows, shipped
from tests.rathena.twin.char_players import set_offline
from tests.rathena.twin.effects import sized, u32
from tests.rathena.twin.people import empty_storage, saved_of
from tests.rathena.twin.store import CharRecord, SaveLine

if TYPE_CHECKING:
    from tests.rathena.twin.char_core import CharCore, Slot

Handler = Callable[["CharCore", "Slot", bytes], None]
SAVE_BYTES: Final = 8_869
MAIL_BYTES: Final = 30_738
ACHIEVEMENT: Final = "achievement"
KEPT: Final = 1
"""388b as recorded."""
_ACCOUNT, _ACCOUNT2, _CHAR, _MORE = 2, 1, 3, 0


def on_save(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    """2b01. The stock check passes for every real character id."""
    save = inter.SaveChar.unpack(packet)
    record = core.store.chars.get(save.char_id)
    known = save.char_id in core.store.online or save.final == 1 or bool(packet[13])
    if len(packet) != SAVE_BYTES or record is None or not known:
        core.note("save_ignored", {"char": save.char_id, "size": len(packet)})
        return
    record.save(save.status)
    core.store.save_counts[save.char_id] += 1
    core.store.saves.append(SaveLine(core.now_ms, slot.number, save.final, saved_of(save.status)))
    if save.final:
        set_offline(core, save.char_id)
        core.out.send(slot.link, inter.SaveAck(account_id=save.account_id, char_id=save.char_id))


def on_storage_load(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    asked = inter.StorageLoad.unpack(packet)
    record = core.store.chars.get(asked.char_id)
    storage = record.storages.get(asked.table) if record else None
    storage = storage or empty_storage(asked.table, asked.char_id)
    core.out.send(slot.link, inter.Storage(account_id=asked.account_id, table=asked.table, result=1, storage=storage))


def on_storage_save(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    save = inter.StorageSave.unpack(packet)
    if record := core.store.chars.get(save.char_id):
        record.storages[save.table] = save.storage
    core.out.send(slot.link, inter.StorageSaved(account_id=save.account_id, result=KEPT, table=save.table))


def on_registry_request(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    """3005: strings, then numbers, of character, account and login account. The last two come from the login-server, and
    the char-server tells them to every slot, as recorded in s7."""
    asked = inter.RegistryRequest.unpack(packet)
    for kind in (_MORE, _CHAR, _MORE, _ACCOUNT):
        core.out.send(slot.link, _registry(asked.account_id, asked.char_id, kind))
    for kind in (_MORE, _ACCOUNT2):
        core.to_all(_registry(asked.account_id, asked.char_id, kind))


def _registry(account_id: int, char_id: int, kind: int) -> bytes:
    values = inter.RegistryValues(
        account_id=account_id, char_id=char_id, type=kind, is_string=int(kind == _MORE), count=0, vars=b""
    )
    return values.pack()


def on_registry_save(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    if record := core.store.chars.get(inter.RegistrySave.unpack(packet).char_id):
        record.registry.append(packet)


def on_cooldowns(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    account_id, char_id = (int.from_bytes(packet[at : at + 4], "little") for at in (2, 6))
    count, kept = _of(core, char_id, "cooldown_rows")
    if count:
        core.out.send(slot.link, sized(0x2B0B, u32(account_id) + u32(char_id) + count.to_bytes(2, "little") + kept))


def on_bonus_request(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    char_id = int.from_bytes(packet[2:6], "little")
    count, kept = _of(core, char_id, "bonus_rows")
    if count:
        core.out.send(slot.link, inter.BonusScriptLoad(char_id=char_id, count=count, rows=kept))


def on_bonus_save(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    save = inter.BonusScriptSave.unpack(packet)
    if record := core.store.chars.get(save.char_id):
        record.bonus_rows = (save.count, save.rows)


def on_scdata_request(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    asked = inter.ScdataRequest.unpack(packet)
    count, kept = _of(core, asked.char_id, "sc_rows")
    core.out.send(slot.link, inter.ScdataLoad(account_id=asked.account_id, char_id=asked.char_id, count=count, rows=kept))


def on_scdata_save(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    save = inter.ScdataSave.unpack(packet)
    if record := core.store.chars.get(save.char_id):
        record.sc_rows = (save.count, save.rows)


def on_mail(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    core.out.send(slot.link, _mail(inter.MailInboxRequest.unpack(packet).char_id))


@cache
def _mail(char_id: int) -> bytes:
    return sized(0x3848, u32(char_id).ljust(MAIL_BYTES - 4, b"\0"))


def on_quests(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    char_id = inter.QuestLogRequest.unpack(packet).char_id
    record = core.store.chars.get(char_id)
    core.out.send(slot.link, inter.QuestLog(char_id=char_id, quests=record.quests if record else b""))


def on_quests_save(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    save = inter.QuestLogSave.unpack(packet)
    if record := core.store.chars.get(save.char_id):
        record.quests = save.quests
    core.out.send(slot.link, inter.QuestSaved(char_id=save.char_id))


def on_achievements(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    char_id = inter.AchievementRequest.unpack(packet).char_id
    record = core.store.chars.get(char_id)
    kept = record.achievements if record else b""
    core.out.send(slot.link, inter.Achievements(char_id=char_id, achievements=kept))


def on_achievements_save(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    save = inter.AchievementSave.unpack(packet)
    if record := core.store.chars.get(save.char_id):
        record.achievements = b"".join(map(_without_score, rows(shipped(), ACHIEVEMENT, save.achievements)))
    core.out.send(slot.link, inter.AchievementsSaved(char_id=save.char_id))


def _without_score(row: bytes) -> bytes:
    """The score follows from the achievement; it is not kept, as recorded."""
    return patched(shipped(), ACHIEVEMENT, row, {"score": 0})


def _of(core: "CharCore", char_id: int, name: str) -> tuple[int, bytes]:
    record: CharRecord | None = core.store.chars.get(char_id)
    found: tuple[int, bytes] = getattr(record, name) if record else (0, b"")
    return found


HANDLERS: Final[dict[int, Handler]] = {
    0x2B01: on_save,
    0x308A: on_storage_load,
    0x308B: on_storage_save,
    0x3005: on_registry_request,
    0x3004: on_registry_save,
    0x2B0A: on_cooldowns,
    0x2B2D: on_bonus_request,
    0x2B2E: on_bonus_save,
    0x2AFC: on_scdata_request,
    0x2B1C: on_scdata_save,
    0x3048: on_mail,
    0x3060: on_quests,
    0x3061: on_quests_save,
    0x3062: on_achievements,
    0x3063: on_achievements_save,
}
