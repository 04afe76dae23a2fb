"""A twin map-server and its clients: entering, walking, warps, fighting, leaving. Source: FACTS 2, 4, 5, 10.

Talking: `map_talk.py`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from libs.rathena import client, inter
from libs.rathena.values import Cell, Step, gat
from tests.rathena.twin.effects import Cut, fixed, sized
from tests.rathena.twin.player import Phase, Player

if TYPE_CHECKING:
    from tests.rathena.twin.map_core import MapCore, Place

Handler = Callable[["MapCore", Player, bytes], None]
REFUSED, SERVER_CLOSED, STILL_IN_GAME, FORCED = 0, 1, 8, 15
BEFORE_ENTERED: Final = frozenset({0x007D, 0x00B2, 0x018A})
"""Who has not said 007d for this map yet is heard on nothing else, ticks included (s2)."""
ZENY_A_HIT, EXP_A_HIT = 10, 7
_LOCAL_IP: Final = bytes([127, 0, 0, 1])


def on_enter(core: "MapCore", link: int, enter: client.Enter) -> None:
    """0436: 0283 at once, the rest when the char-server has answered."""
    if not core.ready or enter.account_id in core.players or core.clients.get(link) is not None or core.ended:
        core.note("enter_refused", {"account": enter.account_id, "ready": core.ready})
        core.out.send(link, client.DisconnectReason(code=STILL_IN_GAME if core.ready else SERVER_CLOSED))
        core.out.add(Cut(link))
        return
    player = Player(enter.account_id, enter.char_id, enter.login_id1, enter.sex, link, auth_ms=core.now_ms)
    core.players[player.account_id] = core.clients[link] = player
    core.out.send(link, client.AccountIdAck(account_id=player.account_id))
    request = inter.AuthRequest(
        account_id=player.account_id,
        char_id=player.char_id,
        login_id1=player.login_id1,
        sex=player.sex,
        client_ip=_LOCAL_IP,
    )
    core.say(request.pack())


def welcome(core: "MapCore", player: Player, *, changing: bool) -> None:
    """Who logs in is greeted and told his map once more; who comes from another server is not."""
    assert player.client is not None
    core.note("entered", {"account": player.account_id, "map": player.map, "changing": changing})
    core.out.send(player.client, client.InventoryExpansion())
    core.out.send(player.client, client.AcceptEnter(server_tick=_tick(core), pos=Cell(player.x, player.y)))
    core.out.send(player.client, sized(0x0201))
    if not changing:
        core.out.send(player.client, client.OwnChat(text=b"Welcome to a twin of rAthena.\0"))
        core.out.send(player.client, _here(player))


def on_load_end(core: "MapCore", player: Player, packet: bytes) -> None:
    if player.loaded:
        show_around(core, player)
    else:
        player.load_end_waits = True


def show_around(core: "MapCore", player: Player) -> None:
    """What a client sees that has loaded its map: here its own values, and the end mark."""
    player.load_end_waits, player.entered = False, True
    if player.client is None:
        return
    core.out.send(player.client, client.LongParam2(type=1, value=player.base_exp))
    core.out.send(player.client, client.LongParam(type=20, value=player.zeny))
    core.out.send(player.client, client.Param(type=24, value=player.picked))
    core.out.send(player.client, fixed(0x0B1B))


def on_tick(core: "MapCore", player: Player, packet: bytes) -> None:
    if player.client is not None:
        core.out.send(player.client, client.TickAck(server_tick=_tick(core)))


def on_walk(core: "MapCore", player: Player, packet: bytes) -> None:
    """One arrives at once; on a warp one is off again."""
    to = client.Walk.unpack(packet).dest
    if player.client is not None:
        step = Step(player.x, player.y, to.x, to.y)
        core.out.send(player.client, client.WalkOk(server_tick=_tick(core), move=step))
    player.x, player.y = to.x, to.y
    if there := core.warps.get((player.map, to.x, to.y)):
        go(core, player, there)


def go(core: "MapCore", player: Player, there: "Place") -> None:
    """A local map has priority; then the server that 2b04 named; with no other server known at all one is sent away."""
    name, x, y = there
    if name in core.maps:
        player.map, player.x, player.y, player.entered = name, x, y, False
        if player.client is not None:
            core.out.send(player.client, _here(player))
    elif core.others == 0 or not core.ready:
        core.note("no_way", {"account": player.account_id, "map": name})
        dismiss(core, player, REFUSED)
    elif (at := core.remote.get(name)) is not None:
        leave_for(core, player, there, at)
    else:
        core.note("no_such_map", {"account": player.account_id, "map": name})


def leave_for(core: "MapCore", player: Player, there: "Place", at: tuple[bytes, int]) -> None:
    """Saves, then 2b05; 2b06 decides."""
    name, x, y = there
    player.phase = Phase.MOVING
    change = inter.ChangeMapServer(
        account_id=player.account_id,
        char_id=player.char_id,
        login_id1=player.login_id1,
        login_id2=player.login_id2,
        map=name.encode(),
        x=x,
        y=y,
        dest_ip=at[0],
        dest_port=at[1],
        sex=player.sex,
        client_ip=_LOCAL_IP,
        group_id=player.group_id,
    )
    player.moving_to = change.pack()
    core.say(*player.leaving_save(final=0), player.moving_to)


def on_action(core: "MapCore", player: Player, packet: bytes) -> None:
    """A hit is a kill is a gain."""
    if not player.loaded or client.Action.unpack(packet).action not in {0, 7} or player.client is None:
        return
    player.gain(ZENY_A_HIT, EXP_A_HIT)
    core.out.send(player.client, client.LongParam2(type=1, value=player.base_exp))
    core.out.send(player.client, client.ExpGain(account_id=player.account_id, exp=EXP_A_HIT, type=1))
    core.out.send(player.client, client.LongParam(type=20, value=player.zeny))


def on_take(core: "MapCore", player: Player, packet: bytes) -> None:
    if player.loaded and player.client is not None:
        core.out.send(player.client, client.Param(type=24, value=player.pick()))


def on_restart(core: "MapCore", player: Player, packet: bytes) -> None:
    if client.Restart.unpack(packet).type == 1:
        asked = inter.CharSelectRequest(
            account_id=player.account_id, login_id1=player.login_id1, login_id2=player.login_id2, client_ip=_LOCAL_IP
        )
        core.say(asked.pack())


def on_quit(core: "MapCore", player: Player, packet: bytes) -> None:
    if player.client is not None:
        core.out.send(player.client, client.QuitAck())


def on_gone(core: "MapCore", player: Player) -> None:
    """The client closed: saved at once, kept until 2b21. Who was about to enter is forgotten, who changes the server
    finishes that."""
    player.client = None
    if player.phase is Phase.PLAYING:
        player.phase, player.final_ms = Phase.LEAVING, core.now_ms
        core.note("left", {"account": player.account_id})
        core.say(*player.final_save())
    elif player.phase is Phase.AUTH:
        core.players.pop(player.account_id, None)


def dismiss(core: "MapCore", player: Player, code: int) -> None:
    """0081 and the end of the connection; closing it saves."""
    if player.client is not None:
        core.out.send(player.client, client.DisconnectReason(code=code))
        core.out.add(Cut(player.client))


def refuse(core: "MapCore", player: Player, code: int) -> None:
    """Who has not entered yet is not saved."""
    dismiss(core, player, code)
    core.players.pop(player.account_id, None)
    if player.client is not None:
        core.clients[player.client] = None
        player.client = None


def check_silent(core: "MapCore") -> None:
    """A client that says nothing is dropped; who waits for the char-server in vain is refused."""
    limit_ms = core.config.client_stall_ms
    for link, heard_ms in core.client_heard_ms.items():
        if limit_ms and core.now_ms - heard_ms >= limit_ms:
            core.out.add(Cut(link))
    for player in list(core.players.values()):
        if player.phase is Phase.AUTH and core.now_ms - player.auth_ms >= core.config.auth_timeout_ms:
            refuse(core, player, REFUSED)
            core.say(player.offline())


def _here(player: Player) -> client.MapMove:
    return client.MapMove(map=gat(player.map), x=player.x, y=player.y)


def _tick(core: "MapCore") -> int:
    return core.now_ms & 0xFFFF_FFFF


HANDLERS: Final[dict[int, Handler]] = {
    0x007D: on_load_end,
    0x0360: on_tick,
    0x035F: on_walk,
    0x0437: on_action,
    0x0362: on_take,
    0x00B2: on_restart,
    0x018A: on_quit,
}
