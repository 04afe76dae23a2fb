"""Hold: the bridge takes a player off his server; no I/O, no clock."""

from libs.link.messages import (
    Held,
    Hold,
    Loaded,
)
from services.relay.effects import HangUp
from services.relay.phase import Phase
from tests.rathena.relay_words import (
    WALK,
    Play,
    seen,
    welcome,
)

UNKNOWN = b"\xff\xff\0\0"


def loaded(switch: int, place: tuple[str, int, int] = ("prontera", 100, 200), ms: float = 0.0) -> Loaded:
    return Loaded(conn=1, switch=switch, map=place[0], x=place[1], y=place[2], ms=ms)


# -- holding --------------------------------------------------------------------------------------------------------------


def test_hold_is_answered_when_the_server_has_seen_the_end():
    play = Play().enter()

    play.from_bridge(Hold(conn=1))
    play.from_bridge(Hold(conn=1))
    play.from_client(WALK)
    play.from_server(seen(1), switch=1)
    before = play.taken()
    play.server_lost(1)

    assert before == (b"", b"", [], [HangUp(True)])
    assert play.taken() == (b"", b"", [Held(conn=1, switch=1, map="prontera", x=100, y=200)], [])


def test_hold_of_who_is_held_already_is_answered_at_once():
    play = Play().enter().lose()

    play.from_bridge(Hold(conn=1))

    assert play.told == [Held(conn=1, switch=1, map="prontera", x=100, y=200)]


def test_hold_while_a_server_is_asked_ends_that():
    play = Play().enter().lose()
    play.open(2)
    play.taken()

    play.from_bridge(Hold(conn=1))
    play.from_server(welcome(), switch=2)

    assert play.taken() == (b"", b"", [Held(conn=1, switch=2, map="prontera", x=100, y=200)], [HangUp(False)])


def test_serve_while_holding_is_not_answered_with_held():
    play = Play().enter()
    play.from_bridge(Hold(conn=1))
    play.open(2)
    play.taken()

    play.server_lost(1)

    assert play.taken() == (b"", b"", [], [])
    assert play.session.phase is Phase.ENTERING
