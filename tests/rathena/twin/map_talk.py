"""What players of a twin map-server say to each other and to those of other servers. Source: FACTS 4, 6; captures s2, s7."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from libs.rathena import client, inter
from libs.rathena.values import cut, padded
from tests.rathena.twin import map_play
from tests.rathena.twin.effects import fixed, sized, u32
from tests.rathena.twin.player import Player

if TYPE_CHECKING:
    from tests.rathena.twin.map_core import MapCore

Handler = Callable[["MapCore", Player, bytes], None]
_PLAIN: Final = 0xFF000000
_FOUND, _NOT_ONLINE = 0, 1


def on_chat(core: "MapCore", player: Player, packet: bytes) -> None:
    """`name : words`. `@kami words` is a broadcast, `@warp map x y` goes to a local map, `@jump map x y` anywhere, as a
    portal does."""
    text = client.Chat.unpack(packet).text
    words = cut(text.partition(b" : ")[2])
    order, _, rest = words.partition(b" ")
    if order == b"@kami":
        broadcast(core, rest)
    elif order in {b"@warp", b"@jump"}:
        _jump(core, player, rest, local_only=order == b"@warp")
    elif player.client is not None:
        core.out.send(player.client, client.OwnChat(text=text))
        for other in core.playing():
            if other is not player and other.map == player.map and other.client is not None:
                core.out.send(other.client, sized(0x008D, u32(player.account_id) + text))


def _jump(core: "MapCore", player: Player, words: bytes, *, local_only: bool) -> None:
    name, x, y = [*words.decode("utf-8", "replace").split(), "0", "0"][:3] if words else ("", "0", "0")
    if (local_only and name not in core.maps) or not (x + y).isdigit():
        if player.client is not None:
            core.out.send(player.client, client.OwnChat(text=b"Map not found.\0"))
        return
    map_play.go(core, player, (name, int(x), int(y)))


def broadcast(core: "MapCore", text: bytes) -> None:
    hear_broadcast(core, text + b"\0")
    if core.others:
        said = inter.Broadcast(
            font_color=_PLAIN, font_type=0, font_size=0, font_align=0, font_y=0, message=b"blue" + text + b"\0"
        )
        core.say(said.pack())


def hear_broadcast(core: "MapCore", text: bytes) -> None:
    for player in core.playing():
        if player.client is not None:
            core.out.send(player.client, sized(0x009A, text))


def on_whisper(core: "MapCore", player: Player, packet: bytes) -> None:
    """0096: to somebody here at once, else by the char-server."""
    target, text = cut(packet[4:28]), packet[28:]
    here = next((p for p in core.playing() if p.name == target), None)
    if here is not None:
        hear_whisper(core, here, player.name, text)
        whisper_ack(core, player, _FOUND)
    elif core.others == 0:
        whisper_ack(core, player, _NOT_ONLINE)
    else:
        said = inter.Whisper(sender_group_level=player.group_id, sender=player.name, target=target, message=text)
        core.say(said.pack())


def hear_whisper(core: "MapCore", player: Player, sender: bytes, text: bytes) -> None:
    if player.client is not None:
        core.out.send(player.client, sized(0x09DE, u32(0) + padded(sender, 24) + b"\0" + text))


def whisper_ack(core: "MapCore", player: Player, flag: int) -> None:
    if player.client is not None:
        core.out.send(player.client, fixed(0x09DF, bytes([flag]) + u32(player.char_id)))


def on_party_chat(core: "MapCore", player: Player, packet: bytes) -> None:
    text = packet[4:]
    hear_party(core, player.party_id, player.account_id, text)
    if core.others and player.party_id:
        core.say(inter.PartyMessage(party_id=player.party_id, account_id=player.account_id, message=text).pack())


def on_guild_chat(core: "MapCore", player: Player, packet: bytes) -> None:
    """What goes to other servers loses its last character, as recorded (s7, s7b)."""
    text = packet[4:]
    hear_guild(core, player.guild_id, text)
    if core.others and player.guild_id:
        core.say(inter.GuildMessage(guild_id=player.guild_id, account_id=player.account_id, message=text[:-2] + b"\0").pack())


def hear_party(core: "MapCore", party_id: int, account_id: int, text: bytes) -> None:
    for player in core.playing():
        if party_id and player.party_id == party_id and player.client is not None:
            core.out.send(player.client, sized(0x0109, u32(account_id) + text))


def hear_guild(core: "MapCore", guild_id: int, text: bytes) -> None:
    for player in core.playing():
        if guild_id and player.guild_id == guild_id and player.client is not None:
            core.out.send(player.client, sized(0x017F, text))


HANDLERS: Final[dict[int, Handler]] = {
    0x00F3: on_chat,
    0x0096: on_whisper,
    0x0108: on_party_chat,
    0x017E: on_guild_chat,
}
