"""How a player's stay at a map-server ends, as real servers end it: dismissed, refused, shut down, killed."""

from libs.link.messages import Closed, Refuse, Serve
from libs.rathena.inter_chars import ChangeMapServer, CharOffline
from libs.rathena.inter_link import AllCharsOffline
from libs.rathena.inter_saves import SaveAck, SaveChar
from tests.rathena.bridge_game import CORE, FALLBACK, KICKED, Game, answered, playing, portal
from tests.rathena.bridging import ACCOUNT, CHAR

# -- kicked, or one of many --------------------------------------------------------------------------------------------------


def test_who_is_kicked_by_a_gm_has_to_go() -> None:
    game, serve = playing()

    game.lost(serve, KICKED)
    game.saved(CORE)
    game.wait(2_100)

    assert [refuse.code for refuse in game.told(Refuse)] == [KICKED]  # type: ignore[attr-defined]
    assert not game.told(Serve)
    assert game.players == 0


def test_a_server_that_ends_keeps_its_players_whatever_it_told_them() -> None:
    game, serve = playing()

    game.lost(serve, KICKED)
    game.saved(CORE)
    game.say(CORE, AllCharsOffline())
    game.wait(5_000)

    assert not game.told(Refuse)
    assert game.players == 1
    game.link(4, 5121, b"prt_fild08")
    game.wait(100)
    game.char(answered(game.ups(ChangeMapServer)[-1]))
    game.authorised()
    assert game.enter(4).server == "core"


def test_a_server_that_ends_is_given_nobody_any_more() -> None:
    game, _ = playing()

    game.say(FALLBACK, AllCharsOffline())

    assert [node.server for node in game.bridge.state.nodes] == ["core"]


# -- no final save comes -----------------------------------------------------------------------------------------------------


def test_a_server_that_gives_a_player_up_is_not_waited_for() -> None:
    game, _ = playing()
    asked = portal(*game.bridge.state.players.by_char[CHAR + 1].shown)  # type: ignore[misc]

    game.say(CORE, asked)
    game.char(answered(game.ups(ChangeMapServer)[-1], accepted=False))
    game.say(CORE, CharOffline(account_id=ACCOUNT + 1, char_id=CHAR + 1))
    game.relay(Closed(conn=1))

    assert len(game.ups(CharOffline)) == 1
    assert game.players == 0


def test_who_comes_back_need_not_wait_for_a_save_that_was_made() -> None:
    game, serve = playing()

    game.saved(CORE)  # its end of the connection came before the relay's word of it
    game.arrive(conn=2)

    assert game.told(Serve)[-1].conn == 2  # type: ignore[attr-defined]
    assert serve.conn == 1


def test_saves_of_a_server_that_is_still_reading_him_are_not_kept() -> None:
    """Its HP are 0 until it has his inventory: he would enter the next server dead."""
    game = Game()
    game.hello()
    game.arrive()
    serve = game.enter(CORE, whole=False)
    game.wait(3_000)

    game.lost(serve)
    game.saved(CORE, answered=False)

    assert not game.ups(SaveChar)
    assert len(game.downs(CORE, SaveAck)) == 1
    assert len(game.ups(ChangeMapServer)) == 1, "there is nothing to wait for"


def test_who_leaves_while_his_server_is_still_reading_him_is_offline() -> None:
    game = Game()
    game.hello()
    game.arrive()
    game.enter(CORE, whole=False)
    game.wait(3_000)

    game.relay(Closed(conn=1))
    game.saved(CORE, answered=False)

    assert not game.ups(SaveChar)
    assert len(game.ups(CharOffline)) == 1
    assert game.players == 0
