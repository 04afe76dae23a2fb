"""hosts, maps, events, explain: what is, and why."""

import asyncio
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from libs.bus.nats import NatsBus
from libs.bus.port import Start
from libs.config import load
from libs.events import Fact, HostId, MapAssign, MapName, Stream, is_name, subject_of
from libs.hosting.world import World
from libs.runtime.clock import Clock
from libs.runtime.loop import stop_on_signals
from services.ops.commands.options import AsJson, ConfigFile, Credentials, NatsUrl, target
from services.ops.console import FINDING, end, out, print_json, print_json_line, says_errors, table
from services.ops.host_view import host_rows
from services.ops.reading import CATCH_UP_TIMEOUT_S, WORLD_STREAMS, Target, connected, heartbeats, newest, snapshot
from services.ops.views import Row, event_row, explain_row, map_rows


@says_errors
def hosts(nats: NatsUrl = None, credentials: Credentials = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Every host: its state, why it is not eligible, what it holds, what it measured and how long ago.

    Example: kafra hosts --json | jq '.[] | select(.up | not)'
    """
    settings = load(config, os.environ)
    world, heard = asyncio.run(_hosts(target(nats, credentials)))
    rows = host_rows(world, heard, settings, Clock().now_ms())
    if as_json:
        return print_json(rows)
    columns = (
        "host",
        "state",
        "region",
        ("slots", "right"),
        ("score", "right"),
        ("trust", "right"),
        ("drops/h", "right"),
        "measured",
        ("ago", "right"),
        "why",
    )
    out.print(table("", columns, [_host_cells(row) for row in rows]))
    up = sum(row["up"] for row in rows)
    out.print(f"{len(rows)} hosts, {up} up, {sum(row['used_slots'] for row in rows)} slots in use", style="dim")
    return None


@says_errors
def maps(nats: NatsUrl = None, credentials: Credentials = None, as_json: AsJson = False) -> None:
    """Every map: who serves it, who stands by, how many players.

    Example: kafra maps
    """
    rows = map_rows(asyncio.run(_world(target(nats, credentials))), Clock().now_ms())
    if as_json:
        return print_json(rows)
    columns = ("map", "server", ("players", "right"), "backups", "reason", ("for", "right"), ("tenure", "right"), "last move")
    out.print(table("", columns, [_map_cells(row) for row in rows]))
    hosted = sum(row["kind"] == "p2p" for row in rows)
    out.print(f"{len(rows)} maps, {hosted} on hosts, {sum(row['players'] for row in rows)} players", style="dim")
    return None


@says_errors
def events(
    nats: NatsUrl = None,
    credentials: Credentials = None,
    as_json: AsJson = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    subject: Annotated[str, typer.Option(metavar="GLOB", help="Only subjects like this, e.g. 'map.assign.*'.")] = "*",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many of the last events.")] = 50,
) -> None:
    """What was said: the last events of the log, one a line.

    Example: kafra events --follow --subject 'host.*'
    """
    asyncio.run(_events(target(nats, credentials), as_json, follow, subject, limit))


@says_errors
def explain(
    map_name: Annotated[str, typer.Argument(metavar="MAP", help="A map's name, e.g. moc_fild01.")],
    nats: NatsUrl = None,
    credentials: Credentials = None,
    as_json: AsJson = False,
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many of its last assignments.")] = 1,
) -> None:
    """Why a map is served where it is: the cause, who was considered, who was kept out.

    Example: kafra explain moc_fild01 --last 3
    """
    if not is_name(map_name):
        raise typer.BadParameter(f"{map_name!r} is no map name: 1-32 of A-Z a-z 0-9 _ @ -")
    rows = asyncio.run(_explain(target(nats, credentials), MapName(map_name), last))
    if not rows:
        end(FINDING, f"{map_name} was never assigned")
    if as_json:
        return print_json(rows)
    for row in rows:
        print_explained(row)
    return None


async def _hosts(where: Target) -> tuple[World, dict[HostId, Fact]]:
    async with connected(where) as bus:
        return await snapshot(bus), await heartbeats(bus)


async def _world(where: Target) -> World:
    async with connected(where) as bus:
        return await snapshot(bus)


async def _events(where: Target, as_json: bool, follow: bool, subject: str, limit: int) -> None:
    def wanted(fact: Fact) -> bool:
        return fact.event is None or fnmatchcase(subject_of(fact.event), subject)

    def show(fact: Fact) -> None:
        row = event_row(fact)
        if as_json:
            print_json_line(row)
        else:
            body = json.dumps(row["event"], ensure_ascii=False)
            place = f"{row['stream']}:{row['seq']}"
            out.print(_clock(fact.stored_ms), place, row["subject"] or "(unreadable)", body, soft_wrap=True, markup=False)

    async with connected(where) as bus:
        if not follow:
            for fact in await newest(bus, WORLD_STREAMS, limit, wanted):
                show(fact)
            return
        await _follow(bus, limit, wanted, show)


async def _follow(bus: NatsBus, limit: int, wanted: Callable[[Fact], bool], show: Callable[[Fact], None]) -> None:
    """Listens first and reads then, so that nothing falls between."""
    stopped = stop_on_signals()
    waiting: list[Fact] = []
    live = False

    def on_fact(fact: Fact) -> None:
        if not live:
            waiting.append(fact)
        elif wanted(fact):
            show(fact)

    following = await bus.follow(WORLD_STREAMS, on_fact, Start.LAST_PER_SUBJECT)
    await following.caught_up(CATCH_UP_TIMEOUT_S)
    read: dict[Stream, int] = {}

    def reading(fact: Fact) -> bool:
        read[fact.stream] = fact.seq
        return wanted(fact)

    for fact in await newest(bus, WORLD_STREAMS, limit, reading):
        show(fact)
    for fact in waiting:
        if fact.seq > read.get(fact.stream, 0) and wanted(fact):
            show(fact)
    live = True
    await stopped.wait()


async def _explain(where: Target, name: MapName, last: int) -> list[Row]:
    async with connected(where) as bus:
        world = await snapshot(bus)
        written = [
            fact async for fact in bus.read(Stream.ASSIGNMENTS) if isinstance(fact.event, MapAssign) and fact.event.map == name
        ]
        rows = []
        for fact in reversed(written[-last:]):
            assert isinstance(fact.event, MapAssign)
            rows.append(explain_row(world, world.map(name), fact.event, fact.seq, await _cause(bus, fact.event)))
        return rows


async def _cause(bus: NatsBus, assign: MapAssign) -> Fact | None:
    """The stored message that asked for the decision; None for a tick, or where it is no longer kept."""
    if assign.cause.stream is None or assign.cause.seq is None:
        return None
    async for fact in bus.read(Stream(assign.cause.stream), assign.cause.seq, assign.cause.seq):
        return fact
    return None


def _host_cells(row: Row) -> list[object]:
    score = None if row["score"] is None else f"{row['score']:.3f}"
    slots = f"{row['used_slots']}/{row['slots']}"
    return [
        row["host"],
        row["state"],
        row["region"],
        slots,
        score,
        f"{row['trust']:.2f}",
        row["disconnects_last_hour"],
        _measured_cell(row["measured"]),
        None if row["measured_age_ms"] is None else f"{row['measured_age_ms'] / 1000:.1f} s",
        "; ".join(filter(None, (row["why"], _refusal(row)))),
    ]


def _refusal(row: Row) -> str | None:
    """Of a bundle; not again where it is why the host gets no map."""
    refused = row["bundle_refused"]
    return f"refused a bundle ({refused})" if refused and refused not in row["why"] else None


def _measured_cell(measured: Row | None) -> str | None:
    """What was not measured is left out."""
    if measured is None:
        return None
    shown = (
        ("cpu_ghz", "{:.1f} GHz"),
        ("cpu_cores", "{} cores"),
        ("free_ram_mb", "{:.0f} MB"),
        ("net_mbps", "{:.0f} Mbps"),
        ("latency_ms", "{:.1f} ms"),
        ("jitter_ms", "±{:.1f}"),
        ("packet_rate", "{:.0f}/s"),
    )
    return " ".join(text.format(measured[name]) for name, text in shown if measured[name] is not None)


def _map_cells(row: Row) -> list[object]:
    move = row["last_move"]
    moved = None if move is None else f"{move['outcome']} ({move['kind']}, {move['players']} players, {move['ms']:.0f} ms)"
    age = None if row["age_s"] is None else f"{row['age_s']:.0f} s"
    backups = " ".join(row["backups"])
    return [row["map"], row["server"] or "-", row["players"], backups, row["reason"], age, row["tenure"], moved]


def print_explained(row: Row) -> None:
    out.print(f"[bold]{row['map']}[/bold] served by [bold]{row['server']}[/bold] since assignment {row['tenure']}")
    out.print(f"  written as {row['seq']} at {_clock(row['at_ms'])} by {row['decider']}, reason {row['reason']}")
    cause = row["cause_event"]
    what = f"{cause['subject']} ({cause['stream']}:{cause['seq']})" if cause else f"{row['cause']}"
    out.print(f"  because of {what}")
    out.print(f"  backups: {', '.join(row['backups']) or 'none'}")
    if row["refused"]:
        out.print("  kept out: " + ", ".join(f"{count} {gate}" for gate, count in sorted(row["refused"].items())))
    if row["reason"] == "enter" and not row["refused"] and not row["candidates"]:
        out.print("  no host was there")
    if row["cooling"]:
        out.print(f"  cooling: {', '.join(sorted(row['cooling']))}")
    if row["candidates"]:
        terms = sorted(row["candidates"][0]["terms"])
        cells = [
            [each["host"], f"{each['score']:.4f}", *(f"{each['terms'].get(term, 0):.3f}" for term in terms)]
            for each in row["candidates"]
        ]
        out.print(table("", ("candidate", ("score", "right"), *((term, "right") for term in terms)), cells))


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%H:%M:%S.%f")[:-3]
