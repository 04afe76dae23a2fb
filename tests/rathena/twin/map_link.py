"""A twin map-server and its char-server: link-up, keepalive, maps elsewhere, answers about players. Source: FACTS 1, 4."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from libs.link.frames import frame
from libs.link.messages import LinkHello
from libs.rathena import client, inter
from libs.rathena.values import cut, gat
from tests.rathena.twin import map_play, map_talk
from tests.rathena.twin.effects import CHAR, Cut, id_of, sized
from tests.rathena.twin.people import CART, INVENTORY, STORAGE_TABLE
from tests.rathena.twin.player import Phase, Player

if TYPE_CHECKING:
    from tests.rathena.twin.map_core import MapCore

Handler = Callable[["MapCore", bytes], None]
CASTLE_IDS: Final = (*range(43, 28, -1), *range(12, -1, -1), *range(13, 29))
"""As recorded."""
_REGISTRY_KINDS: Final = {1, 2, 3}
_DELIVERED, _NOT_HERE = 0, 1
_PARTY_LEFT, _GUILDS = 0x3824, 0x3830


def on_open(core: "MapCore") -> None:
    core.linked = True
    core.relinks += 1
    core.dials = 0
    core.heard_ms, core.pinged = core.now_ms, False
    core.timers.pop("reconnect", None)
    config = core.config
    if config.host:
        hello = LinkHello(host=config.host, map=config.maps[0], address=config.ip, port=config.port)
        core.out.send(CHAR, frame(hello))
    login = inter.MapLogin(userid=config.userid.encode(), passwd=config.passwd.encode(), map_ip=core.ip, map_port=config.port)
    core.out.send(CHAR, login)


def on_close(core: "MapCore") -> None:
    """Players stay; who was about to enter is refused; nothing is known of other servers any more."""
    core.linked = core.ready = False
    core.others = 0
    core.remote.clear()
    core.timers.pop("users", None)
    for player in [p for p in core.players.values() if p.phase is Phase.AUTH]:
        map_play.refuse(core, player, map_play.SERVER_CLOSED)
    if not core.ended:
        first = core.dials == 0
        core.timers["reconnect"] = core.now_ms + (core.config.reconnect_first_ms if first else core.config.reconnect_ms)
        core.note("link_lost", {})


def check_stall(core: "MapCore") -> None:
    silent_ms = core.now_ms - core.heard_ms
    if core.linked and silent_ms > 2 * core.config.stall_ms:
        core.out.add(Cut(CHAR))
    elif core.linked and silent_ms >= core.config.stall_ms and not core.pinged:
        core.pinged = True
        core.say(inter.Keepalive().pack())


def say_users(core: "MapCore") -> None:
    core.timers["users"] = core.now_ms + core.config.users_ms
    core.say(inter.UserCount(users=len(core.playing())).pack())


def say_maps(core: "MapCore") -> None:
    core.say(inter.SendMaps.of(name.encode() for name in core.listed).pack())


def on_login_ack(core: "MapCore", packet: bytes) -> None:
    if error := inter.LoginAck.unpack(packet).error:
        core.die(f"the char-server refuses this map-server ({error})")
        return
    say_maps(core)
    if not core.asked_once:
        core.asked_once = True
        core.say(sized(0x3040, b"".join(n.to_bytes(4, "little") for n in CASTLE_IDS)), inter.ClanListRequest().pack())


def on_maps_ack(core: "MapCore", packet: bytes) -> None:
    """2afb. Said again for a repeated 2afa, then nothing follows."""
    if core.ready:
        return
    core.ready = True
    core.timers["users"] = core.now_ms + core.config.users_ms
    core.note("linked", {"relinks": core.relinks})
    core.say(inter.RegisterUsers.of((p.account_id, p.char_id) for p in core.playing()).pack())
    for player in core.players.values():
        if player.phase is Phase.LEAVING:
            player.final_ms = core.now_ms
            core.say(*player.final_save())
        elif player.phase is Phase.MOVING:
            core.say(player.moving_to)


def on_other_maps(core: "MapCore", packet: bytes) -> None:
    """2b04: local maps stay local; one's own address with a map one has not loaded is fatal."""
    told = inter.OtherMaps.unpack(packet)
    for name in map(bytes.decode, told.names):
        if name in core.maps:
            continue
        if (told.ip, told.port) == (core.ip, core.config.port):
            core.die(f"2b04 says this server has {name}")
            return
        core.remote[name] = told.ip, told.port
    core.others += 1


def on_remove_maps(core: "MapCore", packet: bytes) -> None:
    """2b20, as stock: erases nothing."""
    core.others = max(0, core.others - 1)


def on_total_users(core: "MapCore", packet: bytes) -> None:
    core.total_users = inter.TotalUsers.unpack(packet).users
    core.say(inter.Keepalive().pack())


def on_auth_ok(core: "MapCore", packet: bytes) -> None:
    answer = inter.AuthOk.unpack(packet)
    player = core.players.get(answer.account_id)
    if player is None or player.phase is not Phase.AUTH or player.login_id1 != answer.login_id1:
        core.note("stray_auth", {"account": answer.account_id})
        return
    player.admit(answer)
    if player.map not in core.maps:
        core.note("not_here", {"account": player.account_id, "map": player.map})
        map_play.refuse(core, player, map_play.REFUSED)
        core.say(player.offline())
        return
    map_play.welcome(core, player, changing=bool(answer.changing_map_servers))
    registry = inter.RegistryRequest(
        account_id=player.account_id, char_id=player.char_id, want_account2=1, want_account=1, want_char=1
    )
    core.say(registry.pack())


def on_auth_failed(core: "MapCore", packet: bytes) -> None:
    player = core.players.get(inter.AuthFailed.unpack(packet).account_id)
    if player is not None and player.phase is Phase.AUTH:
        map_play.refuse(core, player, map_play.REFUSED)


def on_registry(core: "MapCore", packet: bytes) -> None:
    """3804. With all three kinds there, the rest of the character is asked for."""
    values = inter.RegistryValues.unpack(packet)
    player = _playing(core, values.account_id)
    if player is None:
        return
    player.registry_seen.add(values.type)
    if player.asked_storages or not player.registry_seen >= _REGISTRY_KINDS:
        return
    player.asked_storages = True
    who = {"account_id": player.account_id, "char_id": player.char_id}
    for table in (STORAGE_TABLE, CART, INVENTORY):
        core.say(inter.StorageLoad(**who, table=table, storage_id=0, mode=3).pack())
    numbers = player.account_id.to_bytes(4, "little") + player.char_id.to_bytes(4, "little")
    core.say(b"\x0a\x2b" + numbers, b"\x2d\x2b" + numbers[4:])
    core.say(inter.MailInboxRequest(char_id=player.char_id, flag=0, type=0).pack())
    core.say(inter.QuestLogRequest(char_id=player.char_id).pack(), inter.AchievementRequest(char_id=player.char_id).pack())


def on_storage(core: "MapCore", packet: bytes) -> None:
    """388a. Each inventory is followed by 2afc, one that nobody asked for as well (s5: a zombie's)."""
    came = inter.Storage.unpack(packet)
    player = _playing(core, came.account_id)
    if player is None:
        return
    player.storages[came.table] = came.storage
    if came.table == INVENTORY:
        core.say(inter.ScdataRequest(account_id=player.account_id, char_id=player.char_id).pack())
    if player.loaded and player.load_end_waits:
        map_play.show_around(core, player)


def on_change_ack(core: "MapCore", packet: bytes) -> None:
    """2b06: the client is sent there and forgotten."""
    answer = inter.ChangeMapServerAck.unpack(packet)
    player = core.players.get(answer.account_id)
    if player is None or player.phase is not Phase.MOVING:
        return
    if not answer.accepted:
        player.phase = Phase.PLAYING
        map_play.dismiss(core, player, map_play.REFUSED)
        if player.client is None:
            map_play.on_gone(core, player)
        return
    name = gat(cut(answer.map).decode())
    if player.client is not None:
        move = client.ServerMove(map=name, x=answer.x, y=answer.y, ip=answer.dest_ip, port=answer.dest_port)
        core.out.send(player.client, move)
        core.clients[player.client] = None
    del core.players[player.account_id]
    core.note("moved_away", {"account": player.account_id, "map": cut(answer.map).decode()})


def on_save_ack(core: "MapCore", packet: bytes) -> None:
    """2b21 frees the character."""
    player = core.players.get(inter.SaveAck.unpack(packet).account_id)
    if player is not None and player.phase is Phase.LEAVING:
        del core.players[player.account_id]
        core.note("freed", {"account": player.account_id})


def on_char_select_ack(core: "MapCore", packet: bytes) -> None:
    player = _playing(core, inter.CharSelectAck.unpack(packet).account_id)
    if player is not None and player.client is not None:
        core.out.send(player.client, client.RestartAck(type=1))


def on_disconnect(core: "MapCore", packet: bytes) -> None:
    """2b1f: the client is told and cut, which saves it."""
    order = inter.DisconnectPlayer.unpack(packet)
    player = core.players.get(order.account_id)
    if player is None or player.phase is Phase.LEAVING:
        return
    core.note("kicked", {"account": order.account_id, "reason": order.reason})
    if player.phase is Phase.AUTH:
        map_play.refuse(core, player, order.reason)
    else:
        map_play.dismiss(core, player, order.reason)


def on_whisper(core: "MapCore", packet: bytes) -> None:
    said = inter.WhisperCopy.unpack(packet)
    target = next((p for p in core.playing() if p.name == cut(said.target)), None)
    if target is not None:
        map_talk.hear_whisper(core, target, cut(said.sender), said.message)
    core.say(inter.WhisperReply(whisper_id=said.whisper_id, flag=_NOT_HERE if target is None else _DELIVERED).pack())


def on_whisper_result(core: "MapCore", packet: bytes) -> None:
    result = inter.WhisperResult.unpack(packet)
    sender = next((p for p in core.playing() if p.name == cut(result.sender)), None)
    if sender is not None:
        map_talk.whisper_ack(core, sender, result.flag)


def on_broadcast(core: "MapCore", packet: bytes) -> None:
    map_talk.hear_broadcast(core, inter.BroadcastCopy.unpack(packet).message)


def on_party_message(core: "MapCore", packet: bytes) -> None:
    said = inter.PartyMessageCopy.unpack(packet)
    map_talk.hear_party(core, said.party_id, said.account_id, said.message)


def on_guild_message(core: "MapCore", packet: bytes) -> None:
    said = inter.GuildMessageCopy.unpack(packet)
    map_talk.hear_guild(core, said.guild_id, said.message)


def on_group(core: "MapCore", packet: bytes) -> None:
    """3820, 3822: who is in which party; 3824: left it; 3830, 3832: who is in which guild."""
    packet_id = id_of(packet)
    account_at, group_at = {0x3820: (2, 11), 0x3822: (6, 2), 0x3824: (6, 2), 0x3830: (2, 6), 0x3832: (6, 2)}[packet_id]
    if (player := _playing(core, int.from_bytes(packet[account_at : account_at + 4], "little"))) is not None:
        group_id = 0 if packet_id == _PARTY_LEFT else int.from_bytes(packet[group_at : group_at + 4], "little")
        if packet_id < _GUILDS:
            player.party_id = group_id
        else:
            player.guild_id = group_id


def _playing(core: "MapCore", account_id: int) -> Player | None:
    player = core.players.get(account_id)
    return player if player is not None and player.phase in {Phase.PLAYING, Phase.MOVING} else None


HANDLERS: Final[dict[int, Handler]] = {
    0x2AF9: on_login_ack,
    0x2AFB: on_maps_ack,
    0x2B04: on_other_maps,
    0x2B20: on_remove_maps,
    0x2B00: on_total_users,
    0x2AFD: on_auth_ok,
    0x2B27: on_auth_failed,
    0x3804: on_registry,
    0x388A: on_storage,
    0x2B06: on_change_ack,
    0x2B21: on_save_ack,
    0x2B03: on_char_select_ack,
    0x2B1F: on_disconnect,
    0x3801: on_whisper,
    0x3802: on_whisper_result,
    0x3800: on_broadcast,
    0x3827: on_party_message,
    0x3837: on_guild_message,
    **dict.fromkeys((0x3820, 0x3822, 0x3824, 0x3830, 0x3832), on_group),
}
