"""Dials without their sockets: whose ticket counts, how a player's words are divided, how fast all players may be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.ed25519 import PrivateKey
from libs.events import HostId, HostMetrics, Region
from libs.hosting.eligibility import accepted_spec
from libs.hosting.world import World
from libs.link.dialled import OVER, Chunks, chunk
from libs.link.dials import DialOpen
from libs.link.seldom import ALERT_MS, KNOWN_MAX, Seldom
from libs.link.tickets import LIFE_MS, SKEW_MS, BadTicket, Ticket, prove, public_hex, sign
from services.agent.core import Agent, Identity, Measured
from services.agent.pace import BURST_S, Bucket
from services.registry.facts import up_fact
from services.relay.expecting import TEXT_MAX, Expected, Expecting, GivenUp, told
from services.relay.ways import CLOSED_MS, HOSTS_MAX, Closed, Ways
from tests.unit.builders import rules

NOW_MS = 1_800_000_000_000
CERTIFICATE = bytes(range(32))
AGENT, THIEF = (PrivateKey(bytes([n]) * 32) for n in (1, 2))


def expecting(relay: str = "eu") -> tuple[Expecting[str], Expected[str]]:
    """A relay that waits for one player's host."""
    relays = Expecting[str](relay, CERTIFICATE)
    return relays, relays.expect("my_pc", public_hex(AGENT), bytes(16), "the player", NOW_MS)


def hello(expected: Expected[str], key: PrivateKey = AGENT, **values: Any) -> DialOpen:
    ticket = values.get("ticket", expected.ticket)
    proof = prove(key, ticket, values.pop("certificate", CERTIFICATE))
    return DialOpen(**({"host": "my_pc", "key": public_hex(key), "ticket": ticket, "proof": proof} | values))


def refusal(relay: Expecting[str], said: DialOpen, now_ms: int = NOW_MS) -> BadTicket:
    with pytest.raises(BadTicket) as caught:
        relay.admit(said, now_ms)
    return caught.value


def test_who_was_asked_is_admitted_for_the_very_player() -> None:
    relay, expected = expecting()
    other = relay.expect("my_pc", public_hex(AGENT), b"1" * 16, "another", NOW_MS)

    assert relay.admit(hello(other), NOW_MS).who == "another"
    assert relay.admit(hello(expected), NOW_MS).who == "the player"
    assert len(relay) == 0


def test_a_ticket_counts_once() -> None:
    relay, expected = expecting()
    relay.admit(hello(expected), NOW_MS)

    again = refusal(relay, hello(expected))

    assert (again.why, again.signed) == ("replayed", True)


@pytest.mark.parametrize(
    ("said", "why", "signed"),
    [
        ({"key": THIEF}, "key", True),
        ({"host": "your_pc"}, "host", True),
        ({"certificate": bytes(32)}, "proof", True),
        ({"proof": bytes(64)}, "proof", True),
        ({"ticket": ""}, "signature", False),
    ],
)
def test_another_bearer_is_refused_and_uses_nothing_up(said: dict[str, Any], why: str, signed: bool) -> None:
    relay, expected = expecting()

    refused = refusal(relay, hello(expected, **said))

    assert (refused.why, refused.signed) == (why, signed)
    assert relay.admit(hello(expected), NOW_MS).who == "the player"


def test_another_relay_and_this_one_started_anew_know_nothing_of_it() -> None:
    _, expected = expecting("eu")

    for other in (Expecting[str]("asia", CERTIFICATE), Expecting[str]("eu", CERTIFICATE)):
        assert refusal(other, hello(expected)).why == "signature"


def test_the_registry_s_tickets_and_self_made_ones_open_nothing() -> None:
    relay, expected = expecting()
    made = Ticket(purpose="dial", host="my_pc", key=public_hex(AGENT), nonce=expected.nonce, expires_ms=NOW_MS, to="eu")

    assert refusal(relay, hello(expected, ticket=sign(made, THIEF))).why == "signature"


@pytest.mark.parametrize(("late_ms", "why"), [(LIFE_MS + SKEW_MS, None), (LIFE_MS + SKEW_MS + 1, "expired")])
def test_a_ticket_expires(late_ms: int, why: str | None) -> None:
    relay, expected = expecting()

    if why is None:
        assert relay.admit(hello(expected), NOW_MS + late_ms)
    else:
        assert refusal(relay, hello(expected), NOW_MS + late_ms).why == why


def test_who_comes_when_nobody_waits_is_late_and_no_thief() -> None:
    relay, expected = expecting()
    relay.forget(expected)

    with pytest.raises(GivenUp):
        relay.admit(hello(expected), NOW_MS)
    assert refusal(relay, hello(expected)).why == "replayed"


@given(st.lists(st.binary(max_size=50).filter(bool), max_size=8), st.lists(st.integers(1, 30), min_size=1))
def test_what_a_player_says_comes_out_as_it_went_in_however_it_is_cut(said: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(chunk, said)) + OVER + b"more"
    reads, heard, at, turn = Chunks(), b"", 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        heard += reads.feed(stream[at : at + size])
        at, turn = at + size, turn + 1

    assert heard == b"".join(said)
    assert reads.over


def test_a_chunk_without_its_end_is_no_end() -> None:
    reads = Chunks()

    assert reads.feed(chunk(b"walk")[:-1]) == b"wal"
    assert reads.feed(b"") == b""
    assert not reads.over


def test_all_players_together_are_as_fast_as_the_bucket_fills() -> None:
    bucket = Bucket(1_000, 0.0)

    assert bucket.take(int(1_000 * BURST_S), 0.0) == 0.0
    assert bucket.take(500, 0.0) == pytest.approx(0.5)
    assert bucket.is_empty(0.4)
    assert bucket.take(0, 0.51) == 0.0
    assert not bucket.is_empty(0.6)
    assert bucket.take(int(1_000 * BURST_S), 100.0) == 0.0, "it holds no more than a burst"
    assert bucket.take(1, 100.0) > 0.0


def test_a_rate_of_nothing_is_no_limit() -> None:
    bucket = Bucket(0, 0.0)

    assert bucket.take(10**9, 0.0) == 0.0
    assert not bucket.is_empty(0.0)


def test_what_a_host_gives_for_a_reason_is_fit_for_a_log() -> None:
    assert told("full: 3 players") == "full: 3 players"
    assert told("a\nb\x1b[31mä" + "x" * 1_000) == ("a?b?[31m?" + "x" * 1_000)[:TEXT_MAX]


def test_of_one_thing_is_told_seldom_of_another_at_once_and_only_so_many_are_known() -> None:
    seldom = Seldom()

    assert [seldom.may("h1", at_ms) for at_ms in (0, ALERT_MS - 1, ALERT_MS)] == [True, False, True]
    assert seldom.may("h2", 1)
    for number in range(2 * KNOWN_MAX):
        seldom.may(f"host_{number}", ALERT_MS)
    assert len(seldom) == KNOWN_MAX


def test_a_closed_port_is_left_alone_for_a_while() -> None:
    closed = Closed()
    closed.add("192.0.2.7", 6121, NOW_MS)

    assert closed.has("192.0.2.7", 6121, NOW_MS + CLOSED_MS - 1)
    assert not closed.has("192.0.2.7", 6122, NOW_MS)
    assert not closed.has("192.0.2.7", 6121, NOW_MS + CLOSED_MS)
    for number in range(HOSTS_MAX):
        closed.add("192.0.2.8", number, NOW_MS)
    assert not closed.has("192.0.2.7", 6121, NOW_MS)


def test_a_host_that_dials_is_timed_by_its_connections_and_never_probed() -> None:
    ways = Ways(Region("eu"))
    for _ in range(3):
        ways.timed("my_pc/moc_fild01", "", 0, 12.0, NOW_MS)

    assert ways.to_probe(NOW_MS + 10**6) == []
    assert [said.p50_ms for said in ways.to_say(NOW_MS)] == [12.0]


@pytest.mark.parametrize(
    ("address", "dials", "reach"),
    [(None, True, "dialback"), (None, False, "none"), ("192.0.2.7", True, "direct"), ("192.0.2.7", False, "direct")],
)
def test_how_a_host_is_reached_is_what_its_heartbeat_says(address: str | None, dials: bool, reach: str) -> None:
    beat = beating(address, dials)

    settings = rules()
    spec = accepted_spec(beat, settings.host_requirements)
    up = up_fact(World().host(beat.host), beat, spec, [], 1.0, set(), False, NOW_MS, settings)

    assert up.reach == reach


def beating(address: str | None, dials: bool) -> HostMetrics:
    agent = Agent(Identity(HostId("my_pc"), 1, Region("eu")))
    return agent.metrics(Measured(address=address), {}, NOW_MS, dials=dials)
