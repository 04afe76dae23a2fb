"""What a map-server hears that asked to send its player to another server (2b05): 2b06, in its own words."""

from libs.rathena.inter_chars import ChangeMapServer, ChangeMapServerAck
from services.bridge.players import Player
from services.bridge.state import State


def let_go(state: State, player: Player) -> None:
    """Whoever waits for a 2b06 about him waits no more: he is somewhere else, or nowhere. A map-server that is never answered
    keeps him for ever, and lets nobody of this account in again."""
    asked, asker, player.asked, player.asker = player.asked, player.asker, None, None
    if asked is not None and asker is not None and state.is_linked(asker):
        state.down(asker, (unchanged if player.owner is asker else changed)(asked).pack())


def changed(asked: ChangeMapServer) -> ChangeMapServerAck:
    """To the server that asked, in its own words: the ids made for it and the address it was told."""
    return ChangeMapServerAck(
        account_id=asked.account_id,
        char_id=asked.char_id,
        login_id1=asked.login_id1,
        login_id2=asked.login_id2,
        map=asked.map,
        x=asked.x,
        y=asked.y,
        dest_ip=asked.dest_ip,
        dest_port=asked.dest_port,
    )


def unchanged(asked: ChangeMapServer) -> ChangeMapServerAck:
    """Refused."""
    return ChangeMapServerAck(
        account_id=asked.account_id,
        char_id=asked.char_id,
        login_id1=0,
        login_id2=asked.login_id2,
        map=asked.map,
        x=asked.x,
        y=asked.y,
        dest_ip=asked.dest_ip,
        dest_port=asked.dest_port,
    )
