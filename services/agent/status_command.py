"""kafra agent status [--json] [--open]: what the agent here does, for whom, what it costs, how good it is.

Exit codes: 0 fine or paused, 1 a finding (no connection, not accepted) or a wrong file, 2 usage, 3 no agent runs here.
"""

import argparse
import sys
import time
import webbrowser
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from libs.runtime.loop import EXIT_DONE, EXIT_FINDING
from services.agent.asking import Page, asked
from services.agent.guests import Guests
from services.agent.status import NO_BUNDLE, Status

EXAMPLES: Final = """Example: kafra agent status
  kafra agent status --open         its page, in your browser
  kafra agent status --json
"""
DASH: Final = "–"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="kafra agent status",
        description="What the agent here does and costs, how good it is. Exit code 0: fine, 1: a finding, 3: none runs here.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one JSON value instead of tables")
    parser.add_argument("--open", action="store_true", help="open its page in the browser")
    return asked(parser, arguments, _show)


def _show(page: Page, given: argparse.Namespace) -> int:
    status = page.status()
    if given.open:
        address = page.address()
        if not webbrowser.open(address):
            sys.stdout.write(f"No browser was found. Open this within 30 s: {address}\n")
    elif given.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(status), indent=2).decode() + "\n")
    else:
        show(status, Console(highlight=False))
    return EXIT_FINDING if status.is_finding else EXIT_DONE


def show(status: Status, out: Console) -> None:
    out.print(_facts(status))
    if status.maps:
        out.print()
        out.print(_maps(status))
    out.print()
    out.print(_terms(status))
    for trouble in status.troubles:
        out.print(trouble, style="red", markup=False)
    for note in status.notes:
        out.print(f"the server says: {note}", markup=False)
    out.print(f"{status.host} {status.words}", style="red" if status.is_finding else "green", markup=False)
    for todo in status.score.todo:
        out.print(f"to do: {todo}", markup=False)


def _facts(status: Status) -> Table:
    made = Table(show_header=False, box=None, pad_edge=False)
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in facts(status):
        made.add_row(name, value)
    return made


def facts(status: Status) -> list[tuple[str, str]]:
    """What is said in a line each."""
    cost = status.cost
    rows = [
        ("agent", f"{status.host}, Kafra {status.version}, runs for {age(status.at_ms - status.started_ms)}"),
        ("server", f"{status.nats}, {_connection(status)}"),
        ("link", {None: "not needed now", True: "stands", False: "none"}[status.link]),
        ("bundle", status.bundle or NO_BUNDLE),
        ("serves", f"{status.slots_used} maps{_of(status.slots)}, {status.players} players{_at_most(status.guests)}"),
        ("players come", ways(status.guests)),
    ]
    if status.pause is not None:
        until = f", until {clock(status.pause.until_ms)}" if status.pause.until_ms is not None else ""
        since = age(status.at_ms - status.pause.since_ms)
        rows.append(("paused", f"{status.pause.detail}{until}, for {since} now"))
    if cost is not None:
        rows += [
            ("CPU", f"{percent(cost.own_cpu)} of this machine; others {percent(cost.others_cpu)}"),
            ("memory", f"{cost.own_ram_mb:.0f} MB; free {cost.free_ram_mb:.0f} MB"),
            ("to players", f"{size(cost.game_up_bytes)}, now {size(cost.game_up_bytes_s)}/s"),
            ("from players", f"{size(cost.game_down_bytes)}, now {size(cost.game_down_bytes_s)}/s"),
            ("to the server", f"{size(cost.up_bytes)}, now {size(cost.up_bytes_s)}/s"),
            ("from the server", f"{size(cost.down_bytes)}, now {size(cost.down_bytes_s)}/s"),
        ]
    return rows


def _at_most(guests: Guests) -> str:
    return f", at most {guests.most}" if guests.most else ""


def _of(slots: int | None) -> str:
    return "" if slots is None else f" of {slots} it has room for"


def ways(guests: Guests) -> str:
    """How players get here, and how many did."""
    if guests.way == "none":
        return "not at all: a made-up machine, or no connection yet"
    how = "this machine dials their relay" if guests.way == "dialled" else "to its open port, or it dials"
    if guests.dialled or guests.let_in or guests.stood_by or guests.refused:
        how += f"; {guests.dialled} dialled, {guests.let_in} through an open port, {guests.refused} not taken"
    if guests.standing or guests.stood_by:
        how += f"; {guests.standing} connections stand ready, {guests.stood_by} players came by one"
    return how


def _connection(status: Status) -> str:
    if not status.connected:
        return "not connected"
    return "connected" if status.latency_ms is None else f"connected, {status.latency_ms:.1f} ms"


def _maps(status: Status) -> Table:
    made = Table(header_style="bold", box=None, pad_edge=False)
    for column in ("map", "role", "state", "since", "players", "CPU", "memory", "to server", "from server", ""):
        made.add_column(column, overflow="fold")
    for row in status.maps:
        made.add_row(
            row.map,
            row.role or DASH,
            row.phase,
            age(status.at_ms - row.since_ms),
            str(row.players),
            percent(row.cpu),
            DASH if row.ram_mb is None else f"{row.ram_mb:.0f} MB",
            size(row.up_bytes),
            size(row.down_bytes),
            f"fell {row.falls} times: {row.last_fall}" if row.falls else "",
        )
    return made


def _terms(status: Status) -> Table:
    value = status.score.value
    made = Table(header_style="bold", box=None, pad_edge=False)
    title = "score" if value is None else f"score {value:.2f}"
    for column in (title, "here", "weight", "could bring", "what to do"):
        made.add_column(column, overflow="fold")
    for term in status.score.terms:
        here = DASH if term.value is None else f"{term.value * 100:.0f} %"
        made.add_row(term.what, here, f"{term.weight:.2f}", f"{term.missing:.2f}" if term.missing else "", term.todo)
    return made


def age(ms: int) -> str:
    """Its two largest parts: 3d 4h, 5m 7s."""
    left_s = max(0, ms) // 1000
    parts: list[str] = []
    for unit, seconds in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if left_s >= seconds or (unit == "s" and not parts):
            parts.append(f"{left_s // seconds}{unit}")
        left_s %= seconds
    return " ".join(parts[:2])


def size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def percent(value: float | None) -> str:
    return DASH if value is None else f"{value:.1f} %"


def clock(ms: int) -> str:
    return time.strftime("%a %H:%M", time.localtime(ms / 1000))
