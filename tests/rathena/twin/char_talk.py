"""The twin char-server between map-servers: copies to the other slots; whispers, which wait for every slot. Source: FACTS 6."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final

from libs.rathena import inter
from libs.rathena.values import cut
from tests.rathena.twin.effects import id_of

if TYPE_CHECKING:
    from tests.rathena.twin.char_core import CharCore, Slot

Handler = Callable[["CharCore", "Slot", bytes], None]
NOT_HERE: Final = 1
OPEN_MAX: Final = 1_000
"""Whispers waiting for answers; a slot that never answers must not fill the memory."""


@dataclass
class _Open:
    """slot: the sender's. waiting: answers still to come."""

    slot: "Slot"
    sender: bytes
    waiting: int


@dataclass
class Whispers:
    ids: "count[int]" = field(default_factory=lambda: count(1))
    open: dict[int, _Open] = field(default_factory=dict)


def on_whisper(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    said = inter.Whisper.unpack(packet)
    target = core.store.named(cut(said.target))
    if target is None:
        core.out.send(slot.link, inter.WhisperResult(sender=said.sender, flag=NOT_HERE))
        return
    whisper_id = next(core.talk.ids)
    if len(core.talk.open) >= OPEN_MAX:
        del core.talk.open[next(iter(core.talk.open))]
    core.talk.open[whisper_id] = _Open(slot, said.sender, len(core.slots))
    copy = inter.WhisperCopy(
        whisper_id=whisper_id,
        sender_group_level=said.sender_group_level,
        sender=said.sender,
        target=target.person.name,
        message=said.message,
    )
    core.to_all(copy.pack())


def on_whisper_reply(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    """The first that is not `not here` counts, else the last."""
    reply = inter.WhisperReply.unpack(packet)
    if (waiting := core.talk.open.get(reply.whisper_id)) is None:
        return
    waiting.waiting -= 1
    if reply.flag != NOT_HERE or waiting.waiting == 0:
        del core.talk.open[reply.whisper_id]
        core.out.send(waiting.slot.link, inter.WhisperResult(sender=waiting.sender, flag=reply.flag))


def on_copied(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    copy = inter.copy_of(packet)
    assert copy is not None
    core.to_all(copy, but=slot)


def on_whisper_to_gm(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    """Alone among them it goes to the sender's slot as well."""
    core.to_all(inter.WhisperToGmCopy.packet_id.to_bytes(2, "little") + packet[2:])


def on_clan_member(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    clan_id = int.from_bytes(packet[2:6], "little")
    joined = id_of(packet) == inter.ClanMemberJoined.packet_id
    core.store.clan_online[clan_id] = max(0, core.store.clan_online[clan_id] + (1 if joined else -1))
    core.to_all(inter.ClanOnlineCount(clan_id=clan_id, count=core.store.clan_online[clan_id]).pack(), but=slot)


HANDLERS: Final[dict[int, Handler]] = {
    0x3001: on_whisper,
    0x3002: on_whisper_reply,
    0x30A2: on_clan_member,
    0x30A3: on_clan_member,
    **dict.fromkeys(inter.COPIED, on_copied),
    0x3003: on_whisper_to_gm,
}
