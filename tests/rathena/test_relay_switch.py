"""A client's session between servers: lost, held, switched; no I/O, no clock."""

import pytest

from libs.link.messages import (
    Closed,
    Entered,
    Leaving,
    Loaded,
    ServerLost,
)
from libs.rathena.client import LongParam, Param, TickAck
from services.relay.effects import Dial, HangUp
from services.relay.phase import Phase
from tests.rathena.relay_words import (
    ENTER,
    LOADED,
    SHOWN,
    TICK,
    WALK,
    Play,
    dismissed,
    map_move,
    seen,
    serve,
    server_move,
    welcome,
)

UNKNOWN = b"\xff\xff\0\0"


def loaded(switch: int, place: tuple[str, int, int] = ("prontera", 100, 200), ms: float = 0.0) -> Loaded:
    return Loaded(conn=1, switch=switch, map=place[0], x=place[1], y=place[2], ms=ms)


# -- losing a server ------------------------------------------------------------------------------------------------------


def test_a_lost_server_leaves_the_client_held_where_it_was():
    play = Play().enter()

    play.from_client(WALK[:2])
    play.from_server(seen(1) + seen(2)[:3])
    play.server_lost()
    play.from_client(WALK[2:] + WALK)

    client, server, told, rest = play.taken()
    assert (client, server) == (seen(1), b"")
    assert told == [ServerLost(conn=1, switch=1, map="prontera", x=100, y=200)]
    assert rest == [HangUp(False)]


def test_a_held_client_gets_its_ticks_answered_by_the_server_s_clock():
    play = Play().enter().lose()

    play.now_ms += 500
    play.from_client(TICK + WALK + TICK)

    assert play.client == TickAck(server_tick=1_500).pack()


def test_a_held_client_is_kept_for_the_hold_time_only():
    play = Play().enter().lose()

    play.after(30_000)
    kept = play.taken()
    play.after(1)

    assert kept == (b"", b"", [], [])
    assert play.client == dismissed(1)
    assert play.told == [Closed(conn=1, reason="held too long")]


def test_a_server_that_says_no_stream_is_lost_after_what_was_whole():
    play = Play().enter()

    play.from_server(seen(1) + UNKNOWN + seen(2))

    assert play.taken() == (seen(1), b"", [ServerLost(conn=1, switch=1, map="prontera", x=100, y=200)], [HangUp(False)])


@pytest.mark.parametrize("packet", [map_move("", 1, 1), map_move("prontera", 40_000, 1), server_move("\u00e4", 1, 1)])
def test_a_server_that_sends_its_player_nowhere_is_lost(packet: bytes):
    play = Play().enter()

    play.from_server(seen(1) + packet)

    assert play.client == seen(1)
    assert isinstance(play.told[0], ServerLost)


@pytest.mark.parametrize("code", [1, 15])
def test_a_server_that_ends_does_not_tell_the_client_which_is_held(code: int):
    play = Play().enter()

    play.from_server(seen(1) + dismissed(code) + seen(2))
    play.from_client(WALK)
    going = play.taken()
    play.server_lost()

    assert going == (seen(1) + seen(2), b"", [], [])
    assert play.told == [ServerLost(conn=1, switch=1, map="prontera", x=100, y=200, code=code)]
    assert play.session.phase is Phase.HELD


def test_a_server_that_says_it_ends_and_does_not_is_hung_up():
    play = Play().enter()
    play.from_server(dismissed(15))

    play.after(2_001)

    assert play.effects == [HangUp(False)]
    assert isinstance(play.told[0], ServerLost)


def test_a_portal_to_another_server_is_swallowed_and_nothing_after_it_counts():
    play = Play().enter()

    play.from_server(seen(1) + server_move("prt_fild08", 170, 360) + seen(2))
    play.server_lost(1)

    assert play.taken() == (seen(1), b"", [Leaving(conn=1, map="prt_fild08", x=170, y=360)], [HangUp(True)])


# -- the next server ------------------------------------------------------------------------------------------------------


def resumed(play: Play, **more: object) -> Play:
    play.open(2, map="pay_fild03", **more)
    play.from_server(welcome(30, 40) + seen(5))
    return play


def test_the_next_server_s_welcome_is_a_map_change_to_the_client():
    play = resumed(Play().enter().lose())

    client, server, told, _ = play.taken()
    assert client == map_move("pay_fild03", 30, 40) + seen(5)
    assert server == SHOWN
    assert told == [Entered(conn=1, switch=2, ok=True)]


def test_the_client_s_answer_goes_to_the_next_server_and_its_values_are_told_again():
    play = Play().enter()
    play.server_lost()
    play.now_ms += 250
    resumed(play, base_level=10, job_level=9, zeny=4_000_000_000)
    play.taken()

    play.from_client(WALK + TICK)
    before = play.taken()
    play.from_client(WALK + LOADED + TICK)
    play.from_server(seen(6))

    fresh = Param(type=11, value=10).pack() + Param(type=55, value=9).pack() + LongParam(type=20, value=2**31 - 1).pack()
    assert before == (b"", b"", [], [])
    assert play.taken() == (fresh + seen(6), LOADED + TICK, [loaded(2, ("pay_fild03", 30, 40), 250.0)], [])


def test_a_client_that_was_loading_a_map_already_answers_that_one_first():
    play = Play().enter()
    play.from_server(map_move("prt_in", 1, 1))
    resumed(play.lose())
    play.taken()

    play.now_ms += 1
    play.from_client(LOADED)
    early = play.taken()
    play.from_client(LOADED)

    assert early == (b"", b"", [], [])
    assert play.server == LOADED


def test_a_client_that_answers_two_map_changes_at_once_is_believed_after_a_while():
    play = Play().enter()
    play.from_server(map_move("prt_in", 1, 1))
    resumed(play.lose())
    play.now_ms += 1
    play.from_client(LOADED)
    play.taken()

    play.after(2_001)

    assert play.server == LOADED
    assert isinstance(play.told[0], Loaded)


def test_an_answer_that_never_came_does_not_count_for_ever():
    play = Play()
    play.from_client(ENTER)
    play.open()
    play.from_server(welcome() + map_move("prontera", 1, 1))
    play.now_ms += 10
    play.from_client(LOADED)
    play.now_ms += 5_000
    resumed(play.lose())
    play.taken()

    play.from_client(LOADED)

    assert play.server == LOADED


def test_a_client_that_never_loads_its_map_is_closed():
    play = resumed(Play().enter().lose())
    play.taken()

    for _ in range(7):
        play.from_client(TICK)
        play.after(10_000)

    assert play.told == [Closed(conn=1, reason="the client does not load its map")]


def test_a_server_lost_while_the_client_loads_is_the_same_hold():
    play = Play().enter()
    play.server_lost()
    play.now_ms += 100
    resumed(play)
    play.now_ms += 100
    play.server_lost()
    play.open(3)
    play.from_server(welcome())
    play.now_ms += 100
    play.from_client(LOADED + LOADED)

    assert play.said(Loaded) == [loaded(3, ms=300.0)]
    assert play.said(ServerLost)[1] == ServerLost(conn=1, switch=2, map="pay_fild03", x=30, y=40)


def test_a_higher_switch_replaces_the_one_under_way_and_an_old_one_is_ignored():
    play = Play().enter().lose()

    play.open(2)
    play.open(3)
    play.from_bridge(serve(3))
    play.from_bridge(serve(2))
    play.from_server(welcome(), switch=2)
    play.server_lost(2)
    play.from_server(welcome(), switch=3)

    assert play.client == map_move("prontera", 100, 200)
    assert play.effects == [
        Dial(2, "core", "192.0.2.1", 5121, enter=SHOWN),
        HangUp(True),
        Dial(3, "core", "192.0.2.1", 5121, enter=SHOWN),
    ]
    assert play.told == [Entered(conn=1, switch=3, ok=True)]


def test_a_player_in_play_is_taken_from_a_server_that_hangs_without_asking_it():
    play = Play().enter()

    play.from_bridge(serve(2))
    play.from_server(seen(1), switch=1)

    assert play.taken() == (b"", b"", [], [HangUp(True), Dial(2, "core", "192.0.2.1", 5121, enter=SHOWN)])
