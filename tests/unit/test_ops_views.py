"""What hosts, maps, events and explain show: the same rows for people and for --json."""

import json

import pytest
from builders import EU, T0, Log, assign, census, enter, host_down, host_up, moved, rules, verdict

from libs.events import Candidate, Cause, Event, HostId, MapName, Stream, Terms
from libs.hosting.world import World
from services.ops.commands.looking import print_explained
from services.ops.host_view import host_rows
from services.ops.views import event_row, explain_row, map_rows

NOW_MS = T0 + 60_000


def world_of(*events: Event) -> World:
    world = World()
    Log(world.apply).say(*events)
    return world


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

    rows = [*host_rows(world, {}, rules(), NOW_MS), *map_rows(world, NOW_MS), event_row(Log().say(host_up("h1")))]

    assert json.loads(json.dumps(rows)) == rows


def test_explain_says_that_no_host_was_there(capsys: pytest.CaptureFixture[str]):
    world = world_of(assign("m1", None))
    state = world.map(MapName("m1"))
    assert state.assign is not None
    row = explain_row(world, state, state.assign, 1, None)

    print_explained(row)
    print_explained(row | {"refused": {"map_not_eligible": 1}})

    alone, kept_out = capsys.readouterr().out.split("served by vps")[1:]
    assert "no host was there" in alone
    assert "no host was there" not in kept_out
