"""kafra agent doctor: would this machine be accepted as a host, and why not. It offers nothing and is given nothing.

The limits come with the server's answer to host.speed: a doctor that sent heartbeats to get an order would make the machine a
host (docs/adr/0014). Exit codes: 0 fit, 1 unfit or not accepted or a wrong file, 2 usage, 3 nothing answers.
"""

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from libs.bus.connect import bare_url
from libs.bus.errors import AuthorizationFailed, BusUnavailable
from libs.bus.nats import NatsBus, connect
from libs.config import ConfigError
from libs.events import HostId, HostSpeed, HostSpeedReply, Region
from libs.identity.permissions import inbox_prefix
from libs.runtime.clock import Clock
from libs.runtime.loop import EXIT_DONE, EXIT_FINDING, EXIT_NO_ANSWER
from services.agent.diagnosis import Diagnosis
from services.agent.machine import RealMachine
from services.agent.relays import FIRST_PROBES, Relays
from services.agent.settings import USAGE, AgentSettings, add_flags, settings_of

NAME: Final = "doctor"
"""What the connection calls itself, and the host where none is configured: it is no agent's."""
CONNECT_TIMEOUT_S = 5.0
PINGS = 40
PING_S = 0.05
PING_TIMEOUT_S = 2.0
BUSY_WAIT_S_MAX = 25.0
"""A server's side that is busy is waited for once."""
EXAMPLES = """Example: kafra agent doctor --nats nats://play.example.org:4222
  kafra agent doctor --config agent.toml --json
"""
Step = Callable[[str], None]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="kafra agent doctor",
        usage=USAGE.format("kafra agent doctor"),
        description="Would this machine be accepted as a host, and why not. Exit code 0: yes, 1: no, 3: nothing answers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser)
    parser.add_argument("--json", action="store_true", help="one JSON value instead of a table")
    given = parser.parse_args(arguments)
    try:
        settings = settings_of(parser, given)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FINDING
    errors = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        bar = progress.add_task("", total=STEPS)
        diagnosis = asyncio.run(diagnose(settings, lambda what: progress.update(bar, description=what, advance=1)))
    if given.json:
        sys.stdout.write(json.dumps(diagnosis.as_json(), ensure_ascii=False, indent=2) + "\n")
    else:
        _show(diagnosis)
    if not diagnosis.accepted:
        return EXIT_FINDING
    if not diagnosis.answers:
        return EXIT_NO_ANSWER
    return EXIT_DONE if diagnosis.fit else EXIT_FINDING


STEPS = 5
"""Calls of `step`."""


async def diagnose(settings: AgentSettings, step: Step) -> Diagnosis:
    """Measures for some five seconds; without an answer from the server what can be measured without it."""
    host = HostId(settings.host_id or NAME)
    found = Diagnosis(host, bare_url(settings.url))
    found.bundle_named = settings.bundle_url is not None and settings.bundle_key is not None
    machine = RealMachine(settings.address, settings.port, Clock(), random.Random())
    step("the processor")
    await machine.measure_clock()
    step("the server")
    try:
        bus = await connect(
            settings.url,
            name=NAME,
            credentials=settings.seed,
            inbox_prefix=inbox_prefix(host),
            ca=settings.ca,
            connect_timeout_s=CONNECT_TIMEOUT_S,
        )
    except AuthorizationFailed as error:
        found.accepted = False
        found.key_missing = _has_no_key(settings)
        found.notes.append(str(error))
    except BusUnavailable as error:
        found.notes.append(str(error))
    else:
        try:
            await _measure_paths(Server(bus, host), machine, found, step)
        finally:
            await bus.close()
    rtts = found.measured.region_rtt_ms
    found.measured = machine.measure()
    if rtts is not None:
        found.measured = replace(found.measured, region_rtt_ms=rtts)
    return found


def _has_no_key(settings: AgentSettings) -> bool:
    """Nor a password in the server's address."""
    if settings.seed is None:
        return "@" not in settings.url
    try:
        return not settings.seed.exists()
    except OSError:
        return False


async def _measure_paths(server: "Server", machine: RealMachine, found: Diagnosis, step: Step) -> None:
    step("latency and jitter")
    for _ in range(PINGS):
        try:
            machine.observe_round_trip(await server.bus.ping(PING_TIMEOUT_S))
        except BusUnavailable as error:
            found.notes.append(f"a ping got lost: {error}")
        await asyncio.sleep(PING_S)
    step("the line")
    speed = await machine.measure_line(server)
    if speed.net_mbps is None and speed.retry_s is not None and speed.retry_s <= BUSY_WAIT_S_MAX:
        step("waiting: the server's side is busy with others")
        await asyncio.sleep(speed.retry_s)
        speed = await machine.measure_line(server)
    found.answers, found.limits = speed.answered, speed.requirements
    if speed.net_mbps is None:
        found.notes.append(f"network speed: {speed.note}")
    step("the relays")
    relays = Relays(lambda: speed.regions, random.Random())
    for _ in range(FIRST_PROBES if speed.regions else 0):
        await relays.probe_all()
    found.measured = replace(found.measured, region_rtt_ms=relays.rtts())


class Server:
    """The `ServerSide` of a machine that is no host."""

    def __init__(self, bus: NatsBus, host: HostId) -> None:
        self.bus, self._host = bus, host

    @property
    def host(self) -> HostId:
        return self._host

    @property
    def serving(self) -> bool:
        return False

    @property
    def regions(self) -> Mapping[Region, str]:
        return {}

    async def ask_speed(self, request: HostSpeed, timeout_s: float) -> HostSpeedReply | None:
        reply = await self.bus.ask(request, timeout_s)
        return reply if isinstance(reply, HostSpeedReply) else None


def _show(diagnosis: Diagnosis) -> None:
    out = Console(highlight=False)
    out.print(diagnosis.table())
    if any(row.met is None and row.requirement.value for row in diagnosis.rows):
        out.print("What is not measured counts as the least allowed.")
    if not diagnosis.limits:
        out.print("The limits are the shipped ones: the server did not say its own.")
    for note in diagnosis.notes:
        out.print(note, markup=False)
    out.print(diagnosis.verdict(), style="green" if diagnosis.fit and diagnosis.answers else "red", markup=False)
