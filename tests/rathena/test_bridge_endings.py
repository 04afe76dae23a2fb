"""How a player's stay at a map-server ends, as real servers end it: dismissed, refused, shut down, killed."""

from libs.events import Fact, Stream
from libs.link.messages import Closed, Hold, Placed, Refuse, Serve
from libs.rathena.inter_chars import ChangeMapServer, ChangeMapServerAck, CharOffline
from libs.rathena.inter_link import AllCharsOffline, RegisterUsers
from libs.rathena.inter_saves import SaveChar
from tests.rathena.bridging import ACCOUNT, CHAR, status_of
from tests.rathena.game import CORE, FALLBACK, HOST, KICKED, RULES, Game, answered, playing, portal
from tests.unit.builders import assign


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


# -- after the bridge was killed ---------------------------------------------------------------------------------------------


def restarted() -> Game:
    """The relay and the core say that LabOne is there; the bridge made none of the ids."""
    game = Game()
    game.hello(
        Placed(
            conn=1,
            switch=5,
            account_id=ACCOUNT + 1,
            char_id=CHAR + 1,
            login_id1=7,
            login_id2=8,
            server="core",
            tenure=0,
            map="prt_fild08",
            x=1,
            y=1,
        )
    )
    return game


def test_a_portal_works_with_session_ids_of_the_bridge_before() -> None:
    game = restarted()
    game.say(CORE, RegisterUsers.of([(ACCOUNT + 1, CHAR + 1)]))
    game.wait(2_100)

    game.say(CORE, portal(1_111, 2_222))

    real = ChangeMapServer.unpack(game.ups(ChangeMapServer)[-1])
    assert (real.login_id1, real.login_id2) == (7, 8)
    game.char(answered(real.pack()))
    told = ChangeMapServerAck.unpack(game.downs(CORE, ChangeMapServerAck)[-1])
    assert (told.login_id1, told.login_id2) == (1_111, 2_222)
    assert not game.reports()


def test_a_portal_whose_answer_the_bridge_before_took_along_is_asked_for_again() -> None:
    game = restarted()
    game.say(CORE, RegisterUsers.of([]))  # who is in a portal is not counted
    game.say(CORE, portal(1_111, 2_222))
    game.wait(2_100)

    assert len(game.ups(ChangeMapServer)) == 1
    assert not game.reports()


# -- a host that comes back --------------------------------------------------------------------------------------------------


def test_a_host_whose_map_went_to_the_vps_needs_a_new_assignment() -> None:
    game = Game()
    game.hello()
    game.bridge.on_fact(Fact(Stream.ASSIGNMENTS, 1, assign("moc_fild01", "h1")), game.now_ms)
    game.link(HOST, 6000, b"moc_fild01", host="h1")
    assert game.bridge.state.serving[b"moc_fild01"].host == "h1"

    game.bridge.node_lost(HOST, game.now_ms)
    game.wait(1_100)
    game.link(4, 6000, b"moc_fild01", host="h1")
    game.wait(100)
    assert game.bridge.state.serving[b"moc_fild01"].is_vps

    game.bridge.on_fact(Fact(Stream.ASSIGNMENTS, 2, assign("moc_fild01", "h1")), game.now_ms)
    assert game.bridge.state.serving[b"moc_fild01"].host == "h1"


def test_an_orderly_move_waits_for_the_final_save_alone() -> None:
    game, _ = playing()
    game.bridge.state.players.by_char[CHAR + 1].map = b"moc_fild01"
    game.link(HOST, 6000, b"moc_fild01", host="h1")
    game.bridge.on_fact(Fact(Stream.ASSIGNMENTS, 1, assign("moc_fild01", "h1")), game.now_ms)
    game.take()

    assert len(game.told(Hold)) == 1
    game.saved(CORE)
    assert len(game.ups(ChangeMapServer)) == 1


# -- nobody checks -----------------------------------------------------------------------------------------------------------


def test_who_waits_for_the_validator_goes_on_well_before_his_relay_gives_him_up() -> None:
    game = Game(away="hold")
    game.hello()
    game.bridge.on_bus(True, game.now_ms)
    game.link(HOST, 6000, b"moc_fild01", host="h1")
    game.bridge.on_fact(Fact(Stream.ASSIGNMENTS, 1, assign("moc_fild01", "h1")), game.now_ms)
    game.arrive()
    player = game.bridge.state.players.by_char[CHAR + 1]
    player.map = b"moc_fild01"
    game.bridge.placing.place(player)
    game.take()
    game.enter(HOST)
    game.wait(3_000)
    game.out.clear()

    game.bridge.on_fact(Fact(Stream.ASSIGNMENTS, 2, assign("moc_fild01", None)), game.now_ms)
    game.take()
    game.say(HOST, SaveChar(account_id=ACCOUNT + 1, char_id=CHAR + 1, final=1, status=status_of(1)))
    game.wait(9_000)
    assert not game.ups(ChangeMapServer)

    game.bridge.node_lost(HOST, game.now_ms)  # his host ends while he waits
    game.wait(12_000)

    assert game.now_ms - 3_000 < RULES.hold_ms - 5_000
    assert len(game.ups(ChangeMapServer)) == 1
    assert not game.ups(SaveChar)
    game.char(answered(game.ups(ChangeMapServer)[-1]))
    assert "dropped" in game.reports()
