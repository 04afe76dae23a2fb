"""services/relay/ways: which hosts are timed, tried again, and what is said of them."""

from libs.events import HostId, Region
from services.relay.ways import (
    FAILURES_MAX,
    HOSTS_MAX,
    PROBE_FIRST_MS,
    PROBE_MS,
    PROBES_MAX,
    RESTATE_MS,
    SAMPLES_MAX,
    SAY_MS,
    WINDOW_MS,
    Ways,
)
from tests.unit.builders import T0

H1 = HostId("h1")


def timed(*rtts_ms: float, server: str = "h1/m1") -> Ways:
    ways = Ways(Region("eu"))
    for rtt_ms in rtts_ms:
        ways.timed(server, "192.0.2.7", 6121, rtt_ms, T0)
    return ways


def test_the_median_and_the_95th_percentile_of_a_hosts_answers_are_said() -> None:
    ways = timed(*[10.0] * 18, 50.0, 90.0)

    (said,) = ways.to_say(T0)

    assert (said.host, said.region, said.at_ms, said.p50_ms, said.p95_ms) == ("h1", "eu", T0, 10.0, 50.0)


def test_too_few_answers_are_not_said() -> None:
    assert list(timed(10.0, 10.0).to_say(T0)) == []


def test_the_vpss_own_servers_are_not_timed() -> None:
    for server in ("core", "fallback", "vps-5123", "no name!/m1"):
        ways = timed(1.0, 1.0, 1.0, server=server)

        assert list(ways.to_say(T0)) == []
        assert ways.to_probe(T0 + PROBE_MS) == []


def test_it_is_said_again_on_change_at_most_once_a_second_and_else_every_minute() -> None:
    ways = timed(10.0, 10.0, 10.0)
    assert len(list(ways.to_say(T0))) == 1
    ways.probed(H1, 10.4, T0 + 1)  # the median moves by less than a millisecond
    assert list(ways.to_say(T0 + SAY_MS)) == []

    for _ in range(5):
        ways.probed(H1, 30.0, T0 + SAY_MS)

    assert list(ways.to_say(T0 + SAY_MS - 1)) == []
    assert [said.p50_ms for said in ways.to_say(T0 + SAY_MS)] == [30.0]
    assert list(ways.to_say(T0 + SAY_MS + RESTATE_MS - 1)) == []
    assert len(list(ways.to_say(T0 + SAY_MS + RESTATE_MS))) == 1


def test_old_answers_do_not_count_and_only_the_newest_are_kept() -> None:
    ways = timed(*[100.0] * SAMPLES_MAX)
    assert [said.p50_ms for said in ways.to_say(T0)] == [100.0]

    for _ in range(3):
        ways.timed("h1/m2", "192.0.2.7", 6122, 5.0, T0 + WINDOW_MS + 1)

    assert [(said.p50_ms, said.p95_ms) for said in ways.to_say(T0 + WINDOW_MS + 1)] == [(5.0, 5.0)]


def test_nothing_is_said_of_a_host_that_was_not_timed_for_long() -> None:
    ways = timed(10.0, 10.0, 10.0)

    assert list(ways.to_say(T0 + WINDOW_MS + 1)) == []


def test_a_host_is_tried_again_soon_at_first_then_seldom_where_it_was_last_served_from() -> None:
    ways = timed(10.0)
    ways.timed("h1/m2", "192.0.2.8", 6122, 10.0, T0)
    assert ways.to_probe(T0 + PROBE_FIRST_MS - 1) == []
    assert ways.to_probe(T0 + PROBE_FIRST_MS) == [(H1, "192.0.2.8", 6122)]
    assert ways.to_probe(T0 + PROBE_FIRST_MS) == []  # one at a time

    ways.probed(H1, 10.0, T0 + PROBE_FIRST_MS)

    assert ways.to_probe(T0 + PROBE_FIRST_MS + PROBE_MS - 1) == []
    assert len(ways.to_probe(T0 + PROBE_FIRST_MS + PROBE_MS)) == 1


def test_a_host_that_answers_no_more_is_forgotten_after_three_tries_in_a_row() -> None:
    ways = timed(10.0, 10.0, 10.0)
    for _ in range(FAILURES_MAX - 1):
        ways.probed(H1, None, T0)
    ways.probed(H1, 10.0, T0)
    for _ in range(FAILURES_MAX - 1):
        ways.probed(H1, None, T0)
    assert len(ways.to_probe(T0 + PROBE_MS)) == 1

    ways.probed(H1, None, T0)
    ways.probed(H1, 10.0, T0)

    assert ways.to_probe(T0 + 2 * PROBE_MS) == []
    assert list(ways.to_say(T0)) == []


def test_only_so_many_hosts_are_remembered_and_tried_at_once() -> None:
    ways = Ways(Region("eu"))
    for number in range(HOSTS_MAX + 1):
        ways.timed(f"h{number}/m1", "192.0.2.7", 6121, 10.0, T0)

    found: list[HostId] = []
    while batch := ways.to_probe(T0 + PROBE_MS):
        assert len(batch) <= PROBES_MAX
        found += [host for host, _, _ in batch]

    assert len(found) == HOSTS_MAX
    assert HostId("h0") not in found
