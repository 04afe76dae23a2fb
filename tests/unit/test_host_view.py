"""What `kafra hosts` shows: states, reasons, what was measured and how long ago."""

from typing import Any

import pytest

from libs.events import Event, Fact, HostId, OpsEnroll, Stream
from libs.hosting.world import World
from services.ops.commands.looking import _host_cells
from services.ops.host_view import Heartbeats, Row, host_rows, last_heartbeats
from tests.unit.builders import T0, Log, assign, ban, census, drain, host_down, host_up, rules, verdict
from tests.unit.registry_bench import metrics

NOW_MS = T0 + 60_000


def world_of(*events: Event) -> World:
    world = World()
    if events:
        Log(world.apply).say(*events)
    return world


def enrolled(key: str | None, account_id: int = 1) -> OpsEnroll:
    return OpsEnroll(host=HostId("h1"), at_ms=T0, key=key, account_id=account_id, by="ops")


def heartbeat(age_ms: int, host: str = "h1", **values: Any) -> Heartbeats:
    """Its own clock is an hour ahead; what counts is when it was stored."""
    return {HostId(host): Fact(Stream.METRICS, 1, metrics(host, **values), NOW_MS - age_ms, None)}


def host_row(*events: Event, host: str = "h1", heard: Heartbeats | None = None) -> Row:
    rows = host_rows(world_of(*events), heard or {}, rules(), NOW_MS)
    return next(row for row in rows if row["host"] == host)


def test_a_host_that_is_up():
    row = host_row(
        verdict(trust=0.7, strikes=1),
        host_up(slots=4, disconnects_ms=[T0 - 4_000_000, T0], ready_maps=["m1"]),
        assign("m1", "h1", backups=["h2", "h3"]),
        assign("m2", "h2", backups=["h1"]),
        assign("m3", "h2", backups=["h3", "h1"]),
    )

    assert (row["state"], row["up"], row["why"], row["region"]) == ("serving", True, "", "eu")
    assert (row["serves"], row["backs"]) == (["m1"], ["m2", "m3"])
    assert (row["used_slots"], row["slots"]) == (2, 4), "its primary and its warm backup; a cold one takes no slot"
    assert (row["trust"], row["strikes"], row["disconnects_last_hour"]) == (0.7, 1, 1)
    assert 0 < row["score"] <= 1
    assert row["ready_maps"] == ["m1"]


@pytest.mark.parametrize(
    ("events", "state", "why"),
    [
        ([host_up(), drain()], "draining", "not eligible: draining"),
        ([host_up(), ban()], "blacklisted", "not eligible: blacklisted"),
        ([host_up(trust=0.0)], "eligible", "not eligible: untrusted"),
        ([host_up(reach="none")], "eligible", "not eligible: unreachable"),
        ([host_up(), host_down(reason="silent", detail="for 2500 ms")], "down", "silent: for 2500 ms"),
        (
            [host_up(), verdict(blacklisted_until_ms=NOW_MS + 1), host_down(reason="blacklisted")],
            "blacklisted",
            "blacklisted: ",
        ),
        ([host_up(), verdict(blacklisted_until_ms=NOW_MS), host_down(reason="blacklisted")], "down", "blacklisted: "),
        ([verdict()], "new", "never heard"),
        ([verdict(blacklisted_until_ms=NOW_MS + 1)], "blacklisted", "excluded by a verdict or a ban"),
        ([enrolled(None)], "new", "removed by the operator"),
    ],
)
def test_why_a_host_is_not_chosen(events: list[Event], state: str, why: str):
    row = host_row(*events)

    assert (row["state"], row["why"]) == (state, why)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"bundle": None, "bundle_refused": "none: no bundle is here"}, "it can serve no map: none: no bundle is here"),
        ({"bundle": None, "bundle_refused": "signature: no"}, "it can serve no map: signature: no"),
        ({"bundle": "b1", "bundle_refused": "damaged: npc/a.txt"}, "it can serve no map: damaged: npc/a.txt"),
        ({"bundle": "b1", "bundle_refused": "older: sequence 1"}, "left: the agent said goodbye"),
        ({"bundle": None}, "left: the agent said goodbye"),
    ],
)
def test_a_host_that_left_because_it_can_serve_no_map_shows_why(values: dict[str, Any], why: str):
    down = host_down(reason="left", detail="the agent said goodbye")

    assert host_row(host_up(), down, heard=heartbeat(10, leaving=True, **values))["why"] == why


def test_a_host_that_could_never_serve_a_map_shows_why():
    heard = heartbeat(10, leaving=True, bundle=None, bundle_refused="none: no bundle is here")

    assert host_row(heard=heard)["why"] == "it can serve no map: none: no bundle is here"


def test_a_host_that_is_down_shows_nothing_that_no_longer_holds():
    row = host_row(host_up(ready_maps=["m1"]), host_down(at_ms=T0 + 5))

    assert (row["score"], row["ready_maps"], row["since_ms"]) == (None, [], T0 + 5)


def test_hosts_that_are_up_come_first_and_of_whom_nothing_is_known_are_not_shown():
    world = world_of(host_up("h3"), host_down("h3"), host_up("h2"), host_up("h1"), drain("ghost"))
    rows = host_rows(world, {}, rules(), NOW_MS)

    assert [row["host"] for row in rows] == ["h1", "h2", "h3"]


def test_what_was_measured_and_how_long_ago():
    row = host_row(host_up(), heard=heartbeat(1_200, net_mbps=None))

    assert (row["state"], row["measured_age_ms"]) == ("eligible", 1_200)
    assert (row["measured"]["cpu_ghz"], row["measured"]["net_mbps"]) == (4.0, None)
    assert "address" not in row["measured"]


def test_which_bundle_it_has_and_why_not_a_newer_one():
    row = host_row(host_up(), heard=heartbeat(10, bundle="b1", bundle_refused="older: sequence 3, and 4 was here already"))

    assert (row["bundle"], row["bundle_refused"]) == ("b1", "older: sequence 3, and 4 was here already")
    assert "refused a bundle (older: sequence 3" in str(_host_cells(row)[-1])
    assert _host_cells(host_row(host_up(), heard=heartbeat(10)))[-1] == ""


@pytest.mark.parametrize(
    ("events", "age_ms", "state"),
    [
        ([host_up()], 5_600, "eligible"),
        ([host_up()], 5_800, "suspect"),
        ([host_up(), assign("m1", "h1")], 1_100, "serving"),
        ([host_up(), assign("m1", "h1")], 1_300, "suspect"),
        ([host_up(), assign("m1", "h2", ["h1"])], 1_300, "suspect"),
        ([host_up(), host_down()], 90_000, "down"),
    ],
)
def test_a_host_whose_heartbeat_is_overdue_is_suspect(events: list[Event], age_ms: int, state: str):
    row = host_row(*events, heard=heartbeat(age_ms))

    assert row["state"] == state
    assert (row["why"] == f"nothing heard for {age_ms} ms") == (state == "suspect")


def test_a_host_that_was_never_up_shows_what_it_lacks():
    row = host_row(heard=heartbeat(100, cpu_cores=2))

    assert (row["state"], row["up"], row["region"]) == ("new", False, "eu")
    assert row["why"] == "cpu_min_cores: 2, needed at least 4"


def test_a_host_of_another_account_shows_both():
    row = host_row(enrolled("U" + "A" * 55, 7), heard=heartbeat(100, account_id=8))

    assert row["why"] == "enrolled for account 7, says 8"


def test_of_each_host_the_last_heartbeat_counts():
    facts = [Fact(Stream.METRICS, seq, metrics(host, seq=seq), seq, None) for seq, host in ((1, "a"), (2, "b"), (3, "a"))]

    assert {host: fact.seq for host, fact in last_heartbeats([*facts, Fact(Stream.METRICS, 4, None, 4, None)]).items()} == {
        "a": 3,
        "b": 2,
    }


@pytest.mark.parametrize(("players", "why"), [(7, ""), (8, "not eligible: crowded, 8 of at most 11 players are here")])
def test_a_host_whose_players_leave_room_for_no_more_says_so(players: int, why: str) -> None:
    row = host_row(host_up(players_max=11), assign("m1"), census("m1", eu=players))

    assert (row["why"], row["players"], row["players_max"], row["state"]) == (why, players, 11, "serving")
