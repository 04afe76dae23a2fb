"""What hosts, maps, events and explain show: the same rows for people and for --json."""

import json

import pytest
from builders import EU, T0, Log, assign, ban, census, drain, enter, host_down, host_up, moved, rules, verdict

from libs.events import Candidate, Cause, Event, HostId, MapName, Stream, Terms
from libs.hosting.world import World
from services.ops.views import Row, event_row, explain_row, host_rows, map_rows

NOW_MS = T0 + 60_000


def world_of(*events: Event) -> World:
    world = World()
    Log(world.apply).say(*events)
    return world


def host_row(*events: Event, host: str = "h1") -> Row:
    rows = host_rows(world_of(*events), rules(), NOW_MS)
    return next(row for row in rows if row["host"] == host)


def test_a_host_that_is_up():
    row = host_row(
        verdict(trust=0.7, strikes=1),
        host_up(slots=4, disconnects_ms=[T0 - 4_000_000, T0], ready_maps=["m1"]),
        assign("m1", "h1", backups=["h2", "h3"]),
        assign("m2", "h2", backups=["h1"]),
        assign("m3", "h2", backups=["h3", "h1"]),
    )

    assert (row["state"], row["why"], row["region"]) == ("up", "", "eu")
    assert (row["serves"], row["backs"]) == (["m1"], ["m2", "m3"])
    assert (row["used_slots"], row["slots"]) == (2, 4), "its primary and its warm backup; a cold one takes no slot"
    assert (row["trust"], row["strikes"], row["disconnects_last_hour"]) == (0.7, 1, 1)
    assert 0 < row["score"] <= 1
    assert row["ready_maps"] == ["m1"]


@pytest.mark.parametrize(
    ("events", "state", "why"),
    [
        ([host_up(), drain()], "up", "not eligible: draining"),
        ([host_up(), ban()], "up", "not eligible: blacklisted"),
        ([host_up(trust=0.0)], "up", "not eligible: untrusted"),
        ([host_up(reach="none")], "up", "not eligible: unreachable"),
        ([host_up(), host_down(reason="silent", detail="for 2500 ms")], "down", "silent: for 2500 ms"),
        (
            [host_up(), verdict(blacklisted_until_ms=NOW_MS + 1), host_down(reason="blacklisted")],
            "blacklisted",
            "blacklisted: ",
        ),
        ([host_up(), verdict(blacklisted_until_ms=NOW_MS), host_down(reason="blacklisted")], "down", "blacklisted: "),
        ([verdict()], "unknown", "never was up"),
    ],
)
def test_why_a_host_is_not_chosen(events: list[Event], state: str, why: str):
    row = host_row(*events)

    assert (row["state"], row["why"]) == (state, why)


def test_a_host_that_is_down_shows_nothing_that_no_longer_holds():
    row = host_row(host_up(ready_maps=["m1"]), host_down(at_ms=T0 + 5))

    assert (row["score"], row["ready_maps"], row["since_ms"]) == (None, [], T0 + 5)


def test_hosts_that_are_up_come_first_and_of_whom_nothing_is_known_are_not_shown():
    rows = host_rows(world_of(host_up("h3"), host_down("h3"), host_up("h2"), host_up("h1"), drain("ghost")), rules(), NOW_MS)

    assert [row["host"] for row in rows] == ["h1", "h2", "h3"]


def test_maps_the_fullest_first():
    world = world_of(
        enter("m1"),
        census("m2", eu=3, us=4),
        assign("m2", "h1", backups=["h2"], at_ms=T0),
        host_up("h1", ready_maps=["m2"]),
        moved("m2", tenure=1, to="h1", ms=33.0, players=7),
        assign("town", None, reason="idle"),
    )

    rows = map_rows(world, NOW_MS)

    assert [row["map"] for row in rows] == ["m2", "m1", "town"]
    served, entered, town = rows
    assert (served["server"], served["kind"], served["backups"], served["players"]) == ("h1", "p2p", ["h2"], 7)
    assert (served["age_s"], served["tenure"], served["ready"]) == (60.0, 1, True)
    assert served["last_move"] == {"outcome": "moved", "kind": "orderly", "ms": 33.0, "players": 7}
    assert (entered["server"], entered["players"], entered["regions"], entered["last_move"]) == (None, 1, {EU: 1}, None)
    assert (town["server"], town["kind"], town["ready"]) == ("vps", "vps", None)


def test_a_map_is_not_ready_before_its_host_says_so():
    world = world_of(census("m1", eu=1), assign("m1", "h1"), host_up("h1"))

    assert map_rows(world, NOW_MS)[0]["ready"] is False


def test_events_and_what_cannot_be_read():
    log = Log()

    row = event_row(log.say(moved("m1", to="h1")))
    unread = event_row(log.junk(Stream.MAPS))

    assert (row["stream"], row["seq"], row["subject"]) == ("MAPS", 1, "map.moved.m1")
    assert row["event"]["from"] is None, "as on the wire"
    assert (unread["seq"], unread["subject"], unread["event"]) == (2, None, None)


def test_explain_says_what_asked_for_it_and_who_was_considered():
    log, world = Log(), World()
    cause = log.say(enter("m1"))
    chosen = assign(
        "m1",
        "h1",
        backups=["h2"],
        score=0.8,
        cause=Cause(stream="MAPS", seq=1),
        candidates=[Candidate(HostId("h1"), 0.8, Terms(cpu=0.5))],
        refused={"draining": 2},
        cooling={"h3": T0 + 1},
    )
    log.say(chosen, host_up("h1"))
    for fact in log.facts:
        world.apply(fact)

    row = explain_row(world, world.map(MapName("m1")), chosen, 1, cause)

    assert (row["map"], row["server"], row["tenure"], row["holds"]) == ("m1", "h1", 1, True)
    assert row["cause_event"]["subject"] == "map.enter.m1"
    assert [(each["host"], each["score"], each["terms"]["cpu"]) for each in row["candidates"]] == [("h1", 0.8, 0.5)]
    assert (row["refused"], row["cooling"]) == ({"draining": 2}, {"h3": T0 + 1})


def test_explain_of_a_tick_and_of_what_no_longer_holds():
    world = world_of(host_up("h1"), assign("m1", "h1", tenure=None), host_down("h1"))
    state = world.map(MapName("m1"))
    assert state.assign is not None

    row = explain_row(world, state, state.assign, 1, None)
    older = explain_row(world, state, state.assign, 0, None)

    assert (row["cause"], row["cause_event"]) == ({"tick_ms": T0}, None)
    assert (row["holds"], older["holds"]) == (False, False)


def test_every_row_is_json():
    world = world_of(host_up("h1"), verdict("h1"), enter("m1"), assign("m1", "h1"), moved("m1"))

    rows = [*host_rows(world, rules(), NOW_MS), *map_rows(world, NOW_MS), event_row(Log().say(host_up("h1")))]

    assert json.loads(json.dumps(rows)) == rows
