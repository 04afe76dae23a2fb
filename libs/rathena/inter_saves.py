"""Packets that load and save a character: status, storages, variables, quests. Source: rAthena ids 2afc-2b2f, 3004-3092.

The structs in them are bytes here; `libs.rathena.structs` reads them by the build's layout.
"""

from libs.rathena.inter_chars import Player
from libs.rathena.packets import Packet, packet
from libs.rathena.tables import CHAR_TO_MAP, MAP_TO_CHAR


class _Char(Packet, frozen=True, kw_only=True):
    """Some packets name the character only."""

    char_id: int


@packet(MAP_TO_CHAR, 0x2B01)
class SaveChar(Player, frozen=True, kw_only=True):
    """2b01. final: 1 as the player quits, then answered by 2b21. status: mmo_charstatus; items are not in it, see 308b."""

    final: int
    status: bytes


@packet(CHAR_TO_MAP, 0x2B21)
class SaveAck(Player, frozen=True, kw_only=True):
    """2b21: the final save is kept. A map-server that does not hear it repeats the save every minute."""


@packet(MAP_TO_CHAR, 0x308A)
class StorageLoad(Player, frozen=True, kw_only=True):
    """308a. table: 1 inventory, 2 cart, 3 storage, 4 guild storage. Answered by 388a."""

    table: int
    storage_id: int
    mode: int


@packet(CHAR_TO_MAP, 0x388A)
class Storage(Packet, frozen=True, kw_only=True):
    """388a. table: as 308a. result: 1 read. storage: s_storage."""

    account_id: int
    table: int
    result: int
    storage: bytes


@packet(MAP_TO_CHAR, 0x308B)
class StorageSave(Player, frozen=True, kw_only=True):
    """308b. table: as 308a. storage: s_storage. Answered by 388b."""

    table: int
    storage: bytes


@packet(CHAR_TO_MAP, 0x388B)
class StorageSaved(Packet, frozen=True, kw_only=True):
    """388b. result: 1 kept, as in all recordings. The character is not in it."""

    account_id: int
    result: int = 1
    table: int
    storage_id: int = 0


@packet(MAP_TO_CHAR, 0x3005)
class RegistryRequest(Player, frozen=True, kw_only=True):
    """3005: which variables are wanted (1). Answered by several 3804."""

    want_account2: int
    want_account: int
    want_char: int


@packet(CHAR_TO_MAP, 0x3804)
class RegistryValues(Player, frozen=True, kw_only=True):
    """3804. type: 3 character's, 2 account's, 1 account's of the login-server, 0 and more follow. vars: count rows."""

    type: int
    is_string: int
    count: int
    vars: bytes


@packet(MAP_TO_CHAR, 0x3004)
class RegistrySave(Player, frozen=True, kw_only=True):
    """3004: variables set and deleted. vars: count rows."""

    count: int
    vars: bytes


@packet(MAP_TO_CHAR, 0x2AFC)
class ScdataRequest(Player, frozen=True, kw_only=True):
    """2afc: status changes wanted. Answered by 2b1d."""


class _Scdata(Player, frozen=True, kw_only=True):
    """rows: count of status_change_data."""

    count: int = 0
    rows: bytes = b""


@packet(CHAR_TO_MAP, 0x2B1D)
class ScdataLoad(_Scdata, frozen=True, kw_only=True):
    """2b1d: the status changes that last."""


@packet(MAP_TO_CHAR, 0x2B1C)
class ScdataSave(_Scdata, frozen=True, kw_only=True):
    """2b1c: the same, as the player quits or changes the server."""


class _BonusScript(_Char, frozen=True, kw_only=True):
    """rows: count of bonus_script_data."""

    count: int = 0
    rows: bytes = b""


@packet(MAP_TO_CHAR, 0x2B2E)
class BonusScriptSave(_BonusScript, frozen=True, kw_only=True):
    """2b2e, with every save."""


@packet(CHAR_TO_MAP, 0x2B2F)
class BonusScriptLoad(_BonusScript, frozen=True, kw_only=True):
    """2b2f, only where there are any."""


@packet(MAP_TO_CHAR, 0x3060)
class QuestLogRequest(_Char, frozen=True, kw_only=True):
    """3060. Answered by 3860."""


class _Quests(_Char, frozen=True, kw_only=True):
    """quests: rows of quest."""

    quests: bytes


@packet(CHAR_TO_MAP, 0x3860)
class QuestLog(_Quests, frozen=True, kw_only=True):
    """3860: all quests."""


@packet(MAP_TO_CHAR, 0x3061)
class QuestLogSave(_Quests, frozen=True, kw_only=True):
    """3061: all quests; what is missing is deleted. Answered by 3861."""


class _Saved(_Char, frozen=True, kw_only=True):
    """ok: 1 kept."""

    ok: int = 1


@packet(CHAR_TO_MAP, 0x3861)
class QuestSaved(_Saved, frozen=True, kw_only=True):
    """3861."""


@packet(MAP_TO_CHAR, 0x3062)
class AchievementRequest(_Char, frozen=True, kw_only=True):
    """3062. Answered by 3862."""


class _Achievements(_Char, frozen=True, kw_only=True):
    """achievements: rows of achievement."""

    achievements: bytes


@packet(CHAR_TO_MAP, 0x3862)
class Achievements(_Achievements, frozen=True, kw_only=True):
    """3862: all achievements."""


@packet(MAP_TO_CHAR, 0x3063)
class AchievementSave(_Achievements, frozen=True, kw_only=True):
    """3063: all achievements. Answered by 3863."""


@packet(CHAR_TO_MAP, 0x3863)
class AchievementsSaved(_Saved, frozen=True, kw_only=True):
    """3863."""


@packet(MAP_TO_CHAR, 0x3064)
class AchievementReward(_Char, frozen=True, kw_only=True):
    """3064: the reward of an achievement, sent as mail. Answered by 3864."""

    achievement_id: int
    item_id: int
    amount: int
    char_name: bytes
    achievement_name: bytes


@packet(CHAR_TO_MAP, 0x3864)
class AchievementRewarded(_Char, frozen=True, kw_only=True):
    """3864."""

    achievement_id: int
    rewarded: int


@packet(MAP_TO_CHAR, 0x3048)
class MailInboxRequest(_Char, frozen=True, kw_only=True):
    """3048. Answered by 3848."""

    flag: int
    type: int


@packet(CHAR_TO_MAP, 0x3848)
class MailInbox(_Char, frozen=True, kw_only=True):
    """3848. inbox: the mails, all in one struct."""

    flag: int
    type: int
    inbox: bytes
