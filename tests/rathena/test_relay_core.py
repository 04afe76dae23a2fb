"""A client's session at the relay, every transition; no I/O, no clock."""

import pytest

from libs.link.messages import (
    Closed,
    Entered,
    Hold,
    Loaded,
    Refuse,
    Walked,
)
from libs.rathena.client import FixPos, QuitAck, RefuseLogin, RestartAck, WalkOk
from libs.rathena.values import Step
from services.relay.effects import Dial, EndClient, HangUp
from services.relay.phase import Phase
from services.relay.wire import Place
from tests.rathena.relay_words import (
    ACCOUNT,
    ENTER,
    LOADED,
    SHOWN,
    WALK,
    Play,
    dismissed,
    map_move,
    seen,
    serve,
    welcome,
)

UNKNOWN = b"\xff\xff\0\0"


def loaded(switch: int, place: tuple[str, int, int] = ("prontera", 100, 200), ms: float = 0.0) -> Loaded:
    return Loaded(conn=1, switch=switch, map=place[0], x=place[1], y=place[2], ms=ms)


# -- the first server -----------------------------------------------------------------------------------------------------


def test_a_placed_client_gets_its_server_s_welcome_unchanged_and_everything_after_it():
    play = Play()
    play.from_client(ENTER)
    play.taken()

    play.from_bridge(serve(1))
    assert play.taken() == (b"", b"", [], [Dial(1, "core", "192.0.2.1", 5121, enter=SHOWN)])
    play.do(play.session.on_server_open(1))
    assert play.taken() == (b"", SHOWN, [], [])
    play.from_server(welcome() + map_move("prontera", 100, 200) + seen(1))

    client, _, told, _ = play.taken()
    assert client == welcome() + map_move("prontera", 100, 200) + seen(1)
    assert told == [Entered(conn=1, switch=1, ok=True), Walked(conn=1, map="prontera", x=100, y=200)]


def test_every_loaded_map_is_said_once_after_the_server_was_told():
    play = Play()
    play.from_client(ENTER)
    play.open()
    play.from_server(welcome())
    play.taken()

    effects = play.do(play.session.on_client(LOADED, 0.0))
    play.from_client(LOADED + WALK)

    assert [type(effect).__name__ for effect in effects] == ["ToServer", "Tell"]
    assert play.taken() == (b"", LOADED + LOADED + WALK, [loaded(1)], [])


@pytest.mark.parametrize("refusal", [dismissed(0), dismissed(15), RefuseLogin(code=3).pack(), b"\x74\0\0"])
def test_a_server_that_refuses_is_not_heard_by_the_client_which_waits_for_the_next(refusal: bytes):
    play = Play()
    play.from_client(ENTER)
    play.open()
    play.taken()

    play.from_server(welcome()[:10] + refusal)
    client, _, told, rest = play.taken()
    play.open(2)
    play.from_server(welcome())

    assert (client, rest) == (b"", [HangUp(False)])
    assert [(message.switch, message.ok) for message in told if isinstance(message, Entered)] == [(1, False)]
    assert play.client == welcome()
    assert play.told == [Entered(conn=1, switch=2, ok=True)]


def test_a_server_that_cannot_be_reached_or_leaves_before_02eb_is_one_that_did_not_take_him():
    play = Play()
    play.from_client(ENTER)
    play.open()
    play.taken()

    play.server_lost()

    assert play.taken() == (
        b"",
        b"",
        [Entered(conn=1, switch=1, ok=False, reason="it closed the connection")],
        [HangUp(False)],
    )


def test_a_server_that_does_not_welcome_within_the_connect_timeout_is_given_up():
    play = Play()
    play.from_client(ENTER)
    play.open()
    play.taken()

    play.after(1_001)

    assert play.taken() == (b"", b"", [Entered(conn=1, switch=1, ok=False, reason="no 02eb in time")], [HangUp(False)])
    assert play.session.phase is Phase.HELD


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [({"address": ""}, "no address"), ({"enter": b""}, "no 0436 to say"), ({"map": "m" * 13}, "no map name")],
)
def test_a_placement_that_cannot_be_tried_is_answered_at_once(wrong: dict[str, object], reason: str):
    play = Play()
    play.from_client(ENTER)
    play.taken()

    play.from_bridge(serve(1, **wrong))

    assert play.taken() == (b"", b"", [Entered(conn=1, switch=1, ok=False, reason=reason)], [])


def test_a_server_that_talks_without_end_before_02eb_is_given_up():
    play = Play()
    play.from_client(ENTER)
    play.open()
    play.taken()

    for _ in range(10):
        play.from_server(seen(1) * 1_000)

    client, _, told, rest = play.taken()
    assert (client, rest) == (b"", [HangUp(False)])
    assert told == [Entered(conn=1, switch=1, ok=False, reason="the server says too much before 02eb")]


# -- playing --------------------------------------------------------------------------------------------------------------


def test_the_place_of_a_player_follows_what_his_server_says_of_him_and_of_nobody_else():
    play = Play().enter()

    play.from_server(WalkOk(server_tick=1, move=Step(100, 200, 103, 204)).pack())
    walked = play.session.player.place
    play.from_server(FixPos(id=ACCOUNT, x=7, y=8).pack() + FixPos(id=ACCOUNT + 1, x=70, y=80).pack())
    fixed = play.session.player.place
    play.from_server(map_move("prt_in", 9, 10) + seen(1))

    assert walked == Place("prontera", 103, 204)
    assert fixed == Place("prontera", 7, 8)
    assert play.session.player.place == Place("prt_in", 9, 10)
    assert play.told == [Walked(conn=1, map="prt_in", x=9, y=10)]
    assert play.client.endswith(map_move("prt_in", 9, 10) + seen(1))


def test_a_client_that_closes_is_gone_and_its_server_sees_it():
    play = Play().enter()

    play.do(play.session.on_client_lost())
    play.from_server(seen(1), switch=1)
    play.server_lost(1)

    left = "the client left"
    assert play.taken() == (b"", b"", [Closed(conn=1, reason=left)], [HangUp(True), EndClient(left)])


@pytest.mark.parametrize(
    ("packet", "reason"), [(RestartAck(type=1).pack(), "to the choice of characters"), (QuitAck(result=0).pack(), "quit")]
)
@pytest.mark.parametrize("first", ["client", "server"])
def test_a_player_who_leaves_the_game_is_not_held_whoever_closes_first(packet: bytes, reason: str, first: str):
    play = Play().enter()

    play.from_server(packet)
    if first == "server":
        play.server_lost()
    else:
        play.do(play.session.on_client_lost())

    client, _, told, rest = play.taken()
    assert client == packet
    assert told == [Closed(conn=1, reason=reason)]
    assert rest == [HangUp(first == "client"), EndClient(reason)]


@pytest.mark.parametrize("packet", [RestartAck(type=0).pack(), QuitAck(result=1).pack()])
def test_a_player_who_is_not_let_go_plays_on(packet: bytes):
    play = Play().enter()

    play.from_server(packet)
    play.server_lost()

    assert play.session.phase is Phase.HELD


def test_a_dismissal_of_his_own_reaches_the_client_and_ends_it():
    play = Play().enter()

    play.from_server(dismissed(2))
    play.server_lost()

    client, _, told, _ = play.taken()
    assert client == dismissed(2)
    assert told == [Closed(conn=1, reason="the server dismissed it with 0081, code 2")]


def test_a_client_that_says_no_stream_is_closed_and_its_server_sees_it():
    play = Play().enter()

    play.from_client(WALK + UNKNOWN)

    client, _, told, rest = play.taken()
    (closed,) = told
    assert client == b""
    assert isinstance(closed, Closed)
    assert closed.reason == "what the client says is no stream: unknown packet id (packet ffff at byte 7)"
    assert rest == [HangUp(True), EndClient(closed.reason)]


def test_a_client_that_says_nothing_is_closed():
    play = Play().enter()

    play.after(120_001)

    assert play.session.phase is Phase.CLOSED


def test_a_closed_session_does_nothing_more():
    play = Play().enter()
    play.do(play.session.end("over"))
    play.taken()

    play.from_client(WALK)
    play.from_bridge(serve(9))
    play.from_bridge(Hold(conn=1))
    play.from_bridge(Refuse(conn=1))
    play.server_lost(1)
    play.after(1e9)

    assert play.taken() == (b"", b"", [], [])
