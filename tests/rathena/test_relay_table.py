"""Every client of a relay together: limits, the table a bridge is told; and the PROXY header."""

import pytest

from libs.config import Relay
from libs.link.frames import Frames, frame
from libs.link.messages import Arrived, Entered, Hold, Loaded, Placed, RelayHello, RelaySays, ServerLost
from services.relay.core import Session
from services.relay.effects import EndClient, ToClient
from services.relay.table import Table
from services.relay.wire import client_ip, household
from tests.rathena.relay_words import ACCOUNT, CHAR, ENTER, LOADED, LOGIN_ID1, LOGIN_ID2, Play, dismissed, serve, welcome


def opened(table: Table, address: str = "192.0.2.7") -> tuple[Session, list[object]]:
    session = table.open(address, 0.0)
    return session, list(table.admit(session) or table.count(session, address))


def test_one_connection_too_many_is_told_so():
    table = Table(Relay(max_connections=2))

    taken = [opened(table, f"192.0.2.{number}")[1] for number in range(3)]

    assert taken == [[], [], [ToClient(dismissed(4)), EndClient("too many connections")]]
    assert table.counts.refused_total == 1


def test_one_connection_of_an_address_too_many_is_told_so_until_another_is_gone():
    table = Table(Relay(max_connections_per_address=1))
    first, _ = opened(table)

    second, refused = opened(table)
    _, other = opened(table, "192.0.2.8")
    for session in (first, second, second):
        table.close(session)
    _, again = opened(table)

    assert refused == [ToClient(dismissed(9)), EndClient("too many connections from one address")]
    assert other == again == []


def test_an_address_that_is_not_known_is_not_counted():
    table = Table(Relay(max_connections_per_address=1))

    assert [opened(table, "")[1] for _ in range(3)] == [[], [], []]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("a socket's path", "a socket's path", True),
    ],
)
def test_an_ipv6_customer_is_his_network(one: str, other: str, same: bool):
    assert (household(one) == household(other)) is same


@pytest.mark.parametrize(
    ("address", "ip"),
    [
        ("192.0.2.1", bytes([192, 0, 2, 1])),
        ("::ffff:192.0.2.1", bytes([192, 0, 2, 1])),
        ("2001:db8::1", bytes(4)),
        ("", bytes(4)),
    ],
)
def test_the_char_server_gets_four_bytes(address: str, ip: bytes):
    assert client_ip(address) == ip


def test_a_bridge_that_connects_is_told_who_is_where_and_who_waits():
    table = Table(Relay(name="relay-1", region="eu"))
    playing, held, entering, waiting, silent, gone = (opened(table, "")[0] for _ in range(6))
    for session in (playing, held, entering, waiting, gone):
        session.on_client(ENTER, 0.0)
    for session in (playing, held):
        session.on_serve(serve(1, conn=session.player.conn, tenure=7), 0.0)
        session.on_server(1, welcome(), 0.0)
    held.on_server_lost(1, "gone", 0.0)
    entering.on_serve(serve(1, conn=3), 0.0)
    gone.end("over")

    hello, *more = table.hello()

    assert isinstance(hello, RelayHello)
    assert (hello.relay, hello.region) == ("relay-1", "eu")
    assert [(placed.conn, placed.server, placed.map, placed.x) for placed in hello.players] == [
        (1, "core", "prontera", 100),
        (2, None, "prontera", 100),
        (3, None, "prontera", 1),
    ]
    assert hello.players[0] == Placed(
        conn=1,
        switch=1,
        account_id=ACCOUNT,
        char_id=CHAR,
        login_id1=LOGIN_ID1,
        login_id2=LOGIN_ID2,
        server="core",
        tenure=7,
        map="prontera",
        x=100,
        y=200,
    )
    assert [message.conn for message in more if isinstance(message, Arrived)] == [waiting.player.conn]
    assert silent.player.conn == 5
    assert Frames[RelayHello](RelaySays).feed(frame(hello)) == [hello]


def test_status_counts_what_happened():
    table = Table(Relay())
    session, _ = opened(table)
    session.on_client(ENTER, 0.0)
    session.on_serve(serve(1), 0.0)
    session.on_server(1, welcome(), 0.0)
    session.on_client(LOADED, 0.0)

    for message in (session.player.arrived(), Entered(conn=1, switch=1, ok=True), Entered(conn=1, switch=2, ok=False)):
        table.note(message)
    for message in (session.player.lost().message, session.player.loaded(0.0).message, session.player.loaded(9.0).message):
        assert isinstance(message, ServerLost | Loaded)
        table.note(message)

    status = table.status()
    assert {name: status[name] for name in ("connections", "placed", "held", "arrived", "entered", "lost", "switches")} == {
        "connections": 1,
        "placed": 1,
        "held": 0,
        "arrived": 1,
        "entered": 1,
        "lost": 1,
        "switches": 1,
    }


def test_a_message_that_is_for_nobody_yet_does_nothing():
    play = Play()

    play.from_bridge(Hold(conn=1))
    play.from_bridge(serve(1))

    assert play.taken() == (b"", b"", [], [])


def test_whom_a_server_took_in_just_before_the_bridge_was_lost_is_said_until_he_enters_anew():
    table = Table(Relay(name="relay-1"))
    long_ago, just_now, since = (opened(table, "")[0] for _ in range(3))
    for session, entered_ms in ((long_ago, 0.0), (just_now, 9_900.0)):
        session.on_client(ENTER, entered_ms)
        session.on_serve(serve(1, conn=session.player.conn), entered_ms)
        session.on_server(1, welcome(), entered_ms)
    table.on_bridge_lost(10_000.0)
    table.on_bridge_lost(20_000.0)  # one that came and was gone before it heard of them
    since.on_client(ENTER, 10_100.0)
    since.on_serve(serve(1, conn=3), 10_100.0)
    since.on_server(1, welcome(), 10_100.0)

    fresh = [placed.fresh for placed in next(iter(table.hello())).players]  # type: ignore[union-attr]
    just_now.on_serve(serve(2, conn=2), 21_000.0)
    just_now.on_server(2, welcome(), 21_000.0)
    anew = [placed.fresh for placed in next(iter(table.hello())).players]  # type: ignore[union-attr]

    assert fresh == [False, True, False]
    assert anew == [False, False, False]
