"""Somebody is away or was: the bridge before this one, a host that comes back, a server that hangs, the validator."""

from pathlib import Path

import pytest

from libs.events import Fact, MapMoved, Stream
from libs.hosting.effects import Append
from libs.link.messages import Closed, Held, Hold, Placed, Serve
from libs.rathena.client import Enter
from libs.rathena.inter_chars import AuthRequest, ChangeMapServer, ChangeMapServerAck, CharOffline
from libs.rathena.inter_link import RegisterUsers, TotalUsers
from libs.rathena.inter_saves import SaveChar
from services.bridge import memory
from services.bridge.effects import Cut, Up
from services.bridge.players import Phase
from tests.rathena.bridge_game import (
    CORE,
    FALLBACK,
    HOST,
    RELAY,
    RULES,
    Game,
    answered,
    number_of,
    on_a_host,
    playing,
    portal,
    restarted,
)
from tests.rathena.bridging import ACCOUNT, CHAR, status_of
from tests.unit.builders import assign

# -- after the bridge was killed ---------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("saves", [True, False])
def test_who_entered_just_before_the_bridge_died_enters_anew(saves: bool) -> None:
    """What his server asked for him may have died with it. One that has not let him in yet does not save him either."""
    game = restarted(fresh=True)
    game.say(CORE, RegisterUsers.of([(ACCOUNT + 1, CHAR + 1)]))
    assert len(game.told(Hold)) == 1
    game.relay(Held(conn=1, switch=5, map="prt_fild08", x=1, y=1))
    if saves:
        game.saved(CORE)
    else:
        game.wait(RULES.migration_timeout_ms + 100)

    game.char(answered(game.ups(ChangeMapServer)[-1]))
    game.authorised()
    serve = game.enter(CORE)
    game.wait(3_000)

    player = game.bridge.state.players.by_char[CHAR + 1]
    assert (player.phase, player.owner and player.owner.server) == (Phase.PLAYING, "core")
    assert (serve.switch, serve.resume, serve.map) == (6, True, "prt_fild08")
    assert len(game.told(Hold)) == 1


def test_who_entered_long_before_the_bridge_died_plays_on() -> None:
    game = restarted()
    game.say(CORE, RegisterUsers.of([(ACCOUNT + 1, CHAR + 1)]))
    game.wait(3_000)

    assert game.bridge.state.players.by_char[CHAR + 1].phase is Phase.PLAYING
    assert not game.told(Hold)
    assert not game.told(Serve)


def test_a_host_that_is_back_before_the_vps_is_no_move() -> None:
    game = Game()
    game.hello()
    game.bridge.on_bus(True, game.now_ms)
    game.bridge.node_lost(FALLBACK, game.now_ms)
    game.bridge.on_fact(Fact(Stream.ASSIGNMENTS, 1, assign("moc_fild01", "h1")), game.now_ms)
    game.link(HOST, 6000, b"moc_fild01", host="h1")
    game.link(4, 5122, b"moc_fild01")
    game.wait(100)

    assert game.bridge.state.serving[b"moc_fild01"].host == "h1"
    said = [effect.event for effect in game.bridge.step(game.now_ms) if isinstance(effect, Append)]
    assert not [event for event in said if isinstance(event, MapMoved)]


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


# -- a server that hangs -----------------------------------------------------------------------------------------------------


def test_a_host_that_freezes_is_as_good_as_gone() -> None:
    game = Game()
    game.hello()
    game.link(HOST, 6000, b"moc_fild01", host="h1")
    game.wait(10_000)
    assert len(game.downs(HOST, TotalUsers)) >= 19
    assert not [effect for effect in game.out if isinstance(effect, Cut)]

    game.frozen.add(HOST)
    game.wait(RULES.silence_ms + 600)

    assert [node.server for node in game.bridge.state.nodes] == ["core", "fallback"]


def test_the_vps_is_not_judged_by_its_silence() -> None:
    game = Game()
    game.hello()
    game.frozen.add(CORE)

    game.wait(60_000)

    assert len(game.bridge.state.nodes.by_link) == 2


def test_a_bridge_that_was_frozen_itself_blames_nobody() -> None:
    game = Game()
    game.hello()
    game.link(HOST, 6000, b"moc_fild01", host="h1")
    game.wait(100)

    game.now_ms += 60_000
    game.wait(2_000)

    assert len(game.bridge.state.nodes.by_link) == 3


# -- nobody checks -----------------------------------------------------------------------------------------------------------


def test_a_portal_waits_for_the_saves_before_it() -> None:
    """The char-server goes by the last save it has: what was gained since would be lost at every portal."""
    game = on_a_host()
    game.say(HOST, SaveChar(account_id=ACCOUNT + 1, char_id=CHAR + 1, final=0, status=status_of(1)))
    game.say(HOST, portal(*game.bridge.state.players.by_char[CHAR + 1].shown))  # type: ignore[misc]
    game.wait(1_000)
    assert not game.ups(ChangeMapServer)

    game.checked()
    game.wait(100)

    ups = [number_of(effect.packet) for effect in game.out if isinstance(effect, Up)]
    assert ups.index(SaveChar.packet_id) < ups.index(ChangeMapServer.packet_id)
    assert not game.reports()


def test_who_leaves_in_a_portal_that_waits_is_gone_when_his_saves_have_passed() -> None:
    game = on_a_host()
    game.say(HOST, SaveChar(account_id=ACCOUNT + 1, char_id=CHAR + 1, final=0, status=status_of(1)))
    game.say(HOST, portal(*game.bridge.state.players.by_char[CHAR + 1].shown))  # type: ignore[misc]

    game.relay(Closed(conn=1))
    game.wait(1_000)
    assert game.players == 1
    game.checked()
    game.wait(100)

    assert (len(game.ups(SaveChar)), len(game.ups(CharOffline)), game.players) == (1, 1, 0)


def test_who_waits_for_the_validator_goes_on_well_before_his_relay_gives_him_up() -> None:
    game = on_a_host()

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


def test_a_map_that_went_to_the_vps_stays_there_over_a_restart_of_the_bridge(tmp_path: Path) -> None:
    game = Game()
    game.hello()
    game.bridge.on_fact(Fact(Stream.ASSIGNMENTS, 1, assign("moc_fild01", "h1")), game.now_ms)
    game.link(HOST, 6000, b"moc_fild01", host="h1")
    game.bridge.node_lost(HOST, game.now_ms)
    game.wait(1_100)
    assert game.bridge.state.serving[b"moc_fild01"].is_vps
    memory.save(tmp_path, memory.Memory.of(["r"], game.bridge.state))

    after, remembered = Game(), memory.load(tmp_path)
    after.bridge.state.world, after.bridge.state.spent = remembered.world(), remembered.spent
    after.hello()
    after.link(HOST, 6000, b"moc_fild01", host="h1")
    after.wait(100)

    assert after.bridge.state.serving[b"moc_fild01"].is_vps
    after.bridge.on_fact(Fact(Stream.ASSIGNMENTS, 2, assign("moc_fild01", "h1")), after.now_ms)
    assert after.bridge.state.serving[b"moc_fild01"].host == "h1"


def test_who_was_placed_while_his_relay_could_not_say_so_stays_where_he_is() -> None:
    game = Game()
    game.hello()
    game.arrive()
    (serve,) = game.told(Serve)
    assert isinstance(serve, Serve)
    game.bridge.relay_lost(RELAY, game.now_ms)
    shown = Enter.unpack(serve.enter).login_id1
    game.say(CORE, AuthRequest(account_id=ACCOUNT + 1, char_id=CHAR + 1, login_id1=shown, sex=0, client_ip=RULES.front_ip))

    game.wait(5_000)
    ids = {"account_id": ACCOUNT + 1, "char_id": CHAR + 1, "login_id1": 7, "login_id2": 8}
    game.hello(Placed(conn=1, switch=serve.switch, **ids, server="core", tenure=0, map="prt_fild08", x=1, y=1))
    game.wait(5_000)

    player = game.bridge.state.players.by_char[CHAR + 1]
    assert (player.phase, player.owner and player.owner.server) == (Phase.PLAYING, "core")
    assert not game.ups(ChangeMapServer)
    assert len(game.told(Serve)) == 1
