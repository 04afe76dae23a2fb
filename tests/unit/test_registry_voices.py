"""services/registry: whose heartbeat it is – an agent that started again, one of two with one identity, an old message."""

import pytest

from libs.config import Settings
from libs.events import HostId
from services.registry.speech import Heard, Speech, beats_per_s
from tests.unit.registry_bench import BUSY_MS, IDLE_SILENCE_MS, Bench, alerts, metrics, notes

# Numbers that go back.


def test_an_agent_that_starts_again_counts_at_once() -> None:
    bench = Bench()
    bench.beat_for(20 * BUSY_MS, "h1", region="eu")

    bench.beat(seq=1, region="us")

    assert bench.ups[-1].region == "us"
    assert alerts(bench) == []


def test_a_heartbeat_that_comes_again_is_no_sign_of_life() -> None:
    bench = Bench()
    bench.beat_for(20 * BUSY_MS, "h1")
    heard_ms = bench.now_ms - BUSY_MS

    for _ in range(int(IDLE_SILENCE_MS / BUSY_MS) + 1):
        bench.beat(seq=20)
        bench.wait(BUSY_MS)

    assert [down.reason for down in bench.downs] == ["silent"]
    assert bench.downs[0].at_ms - heard_ms <= IDLE_SILENCE_MS


def test_an_old_message_among_new_ones_takes_nothing_over() -> None:
    bench = Bench()
    bench.connection(True)
    bench.beat_for(100 * BUSY_MS, "h1", region="eu")

    bench.beat(seq=5, at_ms=1, region="us")
    bench.beat_for(20 * BUSY_MS, "h1", region="eu")

    assert [up.region for up in bench.ups] == ["eu", "us", "eu"], "it may have been a new agent; the next word shows it was not"
    assert bench.downs == []
    assert "doubled" not in alerts(bench)


def test_heartbeats_that_got_lost_are_no_new_agent() -> None:
    bench = Bench()
    bench.beat_for(5 * BUSY_MS, "h1")

    bench.seqs["h1"] += 5_000
    bench.beat_for(5 * BUSY_MS, "h1")
    bench.beat(seq=bench.seqs["h1"] - 5_004, region="us")  # what was lost comes at last

    assert "doubled" not in alerts(bench)


# Two agents with one identity.


def two(bench: Bench, older: int, newer: int, beats: int = 10) -> None:
    """Two agents speak by turns, each with its own numbers and region."""
    for number in range(beats):
        bench.beat(seq=older + number, at_ms=number, region="old")
        bench.wait(BUSY_MS // 2)
        bench.beat(seq=newer + number, at_ms=number, region="new")
        bench.wait(BUSY_MS // 2)


@pytest.mark.parametrize(
    ("older", "newer", "told"),
    [(1_000, 1, True), (1_000, 2_000, True), (40, 3, True), (1_000, 1, False), (40, 3, False)],
)
def test_of_two_agents_the_newer_counts_and_they_are_told(older: int, newer: int, told: bool) -> None:
    """told: the server told of both connections; without, only numbers that go back tell them apart."""
    bench = Bench()
    if told:
        bench.connection(True, number=1)
    for number in range(5):
        bench.beat(seq=older - 5 + number, at_ms=number, region="old")
        bench.wait(BUSY_MS)

    if told:
        bench.connection(True, number=2)
    two(bench, older, newer)

    regions = [up.region for up in bench.ups]
    assert regions[0] == "old"
    assert regions[-1] == "new"
    assert len(regions) <= 4, "it does not go to and fro"
    assert bench.registry.world.host(HostId("h1")).up.region == "new"
    assert "two agents" in notes(bench)
    assert alerts(bench).count("doubled") == 1
    assert bench.downs == []


def test_the_older_agent_keeps_no_dead_newer_one_alive() -> None:
    bench = Bench()
    bench.beat_for(10 * BUSY_MS, "h1", region="old")
    two(bench, 11, 1)

    for number in range(10):
        bench.beat(seq=21 + number, at_ms=number, region="old")
        bench.wait(BUSY_MS)

    assert [down.reason for down in bench.downs] == ["silent"]


def test_when_the_newer_goes_the_older_counts_again() -> None:
    bench = Bench()
    bench.connection(True, number=1)
    bench.beat_for(10 * BUSY_MS, "h1", region="old")
    bench.connection(True, number=2)
    two(bench, 11, 1)

    bench.connection(False, number=2)
    bench.beat(seq=21, region="old")
    bench.beat_for(IDLE_SILENCE_MS, "h1", region="old")

    assert bench.ups[-1].region == "old"
    assert bench.downs == []


def test_one_agent_with_two_connections_is_one_agent() -> None:
    """The server still waits for the end of the old one: the address changed, or the machine slept."""
    bench = Bench()
    bench.connection(True, number=1)
    bench.beat_for(5 * BUSY_MS, "h1")

    bench.connection(True, number=2)
    bench.beat_for(20 * BUSY_MS, "h1")
    bench.connection(False, number=1)
    bench.beat_for(5 * BUSY_MS, "h1")

    assert alerts(bench) == []
    assert bench.downs == []
    assert len(bench.ups) == 1


def test_a_new_agent_whose_first_heartbeats_were_lost_is_not_taken_for_the_one_before_it() -> None:
    speech, rate = Speech(), beats_per_s(Settings())

    heard = [
        speech.take(metrics("h1", seq=seq, at_ms=at_ms), 1, at_ms, rate)
        for seq, at_ms in ((3, 1_000), (4, 2_000), (1, 9_000), (2, 9_500), (5, 15_000), (6, 20_000))
    ]

    assert heard == [Heard.COUNTS] * 6


# Runs, by name.


def test_an_agent_that_names_its_run_is_known_whatever_its_numbers_and_whatever_was_lost() -> None:
    speech, rate = Speech(), beats_per_s(Settings())
    words = [(3, 7, 1_000), (4, 7, 2_000), (5, 8, 9_000), (6, 8, 9_500), (5_000, 8, 15_000), (1, 9, 20_000)]

    heard = [speech.take(metrics("h1", seq=seq, run=run, at_ms=at_ms), 0, at_ms, rate) for seq, run, at_ms in words]

    assert heard == [Heard.COUNTS] * 6


@pytest.mark.parametrize("told", [True, False])
def test_of_two_named_runs_the_newer_counts_and_an_old_number_of_one_is_no_word(told: bool) -> None:
    speech, rate, connections = Speech(), beats_per_s(Settings()), 2 if told else 0

    def say(seq: int, run: int, at_ms: int) -> Heard:
        return speech.take(metrics("h1", seq=seq, run=run, at_ms=at_ms), connections, at_ms, rate)

    assert [say(seq, 1, 1_000 * seq) for seq in (1, 2, 3)] == [Heard.COUNTS] * 3
    assert [say(4, 2, 4_000), say(5, 2, 5_000)] == [Heard.COUNTS] * 2
    assert [say(6, 1, 5_100), say(5, 1, 5_200), say(5, 2, 5_300), say(6, 2, 5_400)] == [
        Heard.OTHER,
        Heard.AGAIN,
        Heard.AGAIN,
        Heard.COUNTS,
    ]
    assert speech.is_doubled(5_400)
