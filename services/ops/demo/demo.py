"""`kafra demo`: the real system – NATS, four services as processes – under simulated hosts and players on the real map graph.

Three acts: players play while hosts come, die, cheat and return; then quiet; then the run's own log is judged: every invariant
by the independent audit, every decision by replay. The exit code says whether all held.
"""

import asyncio
import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.live import Live

from libs.bus.errors import BusUnavailable
from libs.bus.nats import NatsBus, connect
from libs.config import Settings, load
from libs.events import Stream
from libs.runtime.clock import Clock
from services.ops.audit import Audit, Finding, Rules
from services.ops.console import DONE, FINDING, err, out, print_json
from services.ops.demo.bridge import SimulatedBridge
from services.ops.demo.options import DemoOptions
from services.ops.demo.players import Players
from services.ops.demo.summary import Summary, live_table, print_summary, progress_line
from services.ops.demo.world_map import world_map
from services.ops.reading import read_log
from services.ops.replay import verify
from services.ops.stack import Stack, StackOptions
from services.ops.supervisor import Child, Supervisor

ARRIVAL_S = 6.0
"""Hosts come and are checked before the first player does."""
CALM_S = 8.0
"""Before the end nothing more goes wrong."""
QUIET_S = 1.0
QUIET_TIMEOUT_S = 20.0
REFRESH_S = 0.5
ENVIRON = {
    "KAFRA__MAPS__ELIGIBLE__FIELD": "*_fild*, mjolnir_*",
    "KAFRA__MAPS__ELIGIBLE__DUNGEON": "*_dun*, *_pryd*, *_maze*, orcsdun*, treasure*, in_sphinx*, beach_dun*",
    "KAFRA__REGIONS__EU": "203.0.113.1:5121",
    "KAFRA__REGIONS__NA": "203.0.113.2:5121",
    "KAFRA__REGIONS__SA": "203.0.113.3:5121",
    "KAFRA__REGIONS__ASIA": "203.0.113.4:5121",
    "KAFRA__SECURITY__CHECK_INTERVAL_S": "5",
    "KAFRA__FAILOVER__START_TIMEOUT": "8",
    "KAFRA__FAILOVER__REFILL_INTERVAL_S": "2",
    "KAFRA__REBALANCE__MIN_DWELL_S": "10",
    "KAFRA__REBALANCE__COOL_DOWN_S": "10",
    "KAFRA__REBALANCE__IDLE_AFTER_S": "15",
    "KAFRA__MONITORING__HEARTBEAT_IDLE_MS": "2000",
}
"""What the demo sets otherwise than the shipped configuration: everything faster, and all fields and dungeons eligible."""


async def run_demo(options: DemoOptions) -> int:
    """Exit code 0 only if every invariant held and replay found no difference."""
    with _store(options) as store:
        stack = Stack(StackOptions(store=store, port=0, open=True, log_files=True, environ=_environ()))
        err.print(f"starting NATS and four services ... (logs: {store / 'log'})", style="dim")
        await stack.start()
        try:
            summary = await _run(options, stack, store)
        finally:
            await stack.stop()
    if options.as_json:
        print_json(summary.as_dict())
    else:
        print_summary(summary, out)
    return DONE if summary.good else FINDING


async def _run(options: DemoOptions, stack: Stack, store: Path) -> Summary:
    settings = load(None, stack.environ())
    clock, rng = Clock(), random.Random(options.seed)
    fleet = Supervisor([_fleet(options, stack)], store / "log")
    await fleet.start()
    bus = await connect(stack.url, name="demo-bridge")
    try:
        err.print(f"{options.hosts} simulated hosts arrive ...", style="dim")
        await asyncio.sleep(ARRIVAL_S)
        players = Players(world_map(), rng, start_ms=clock.now_ms(), count=options.players)
        bridge = SimulatedBridge(bus, players, clock, rng, settings.failover.start_timeout)
        await bridge.follow()
        await _play(options, stack, bridge, settings, clock)
        quiet_ms = await _become_quiet(bridge, clock)
        summary = await _judge(bus, settings, quiet_ms)
        summary.take(bridge, stack, options)
        return summary
    finally:
        await fleet.stop()
        await bus.close()


async def _play(options: DemoOptions, stack: Stack, bridge: SimulatedBridge, settings: Settings, clock: Clock) -> None:
    """The first act, with a live table on a terminal and a line now and then elsewhere."""
    playing = asyncio.Event()
    playing.set()
    acting = asyncio.create_task(bridge.play(playing))
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    on_terminal = err.is_terminal and not options.as_json
    with Live(console=err, auto_refresh=False, transient=True) if on_terminal else contextlib.nullcontext() as live:
        while (elapsed_s := loop.time() - started_s) < options.seconds and not acting.done():
            if live is not None:
                live.update(live_table(bridge, stack, settings, clock.now_ms(), elapsed_s, options.seconds), refresh=True)
            elif int(elapsed_s / REFRESH_S) % 10 == 0:
                err.print(progress_line(bridge, elapsed_s, options.seconds), style="dim")
            await asyncio.sleep(REFRESH_S)
    playing.clear()
    await acting


async def _become_quiet(bridge: SimulatedBridge, clock: Clock) -> int:
    """The second act: nobody moves; returns when nothing was written for QUIET_S. The time quiet began, Unix ms."""
    err.print("players stand still; waiting for quiet ...", style="dim")
    loop = asyncio.get_running_loop()
    began_ms, end_s = clock.now_ms(), loop.time() + QUIET_TIMEOUT_S
    seen, since_s = bridge.world.basis, loop.time()

    def is_quiet() -> bool:
        nonlocal seen, since_s
        if bridge.world.basis != seen:
            seen, since_s = bridge.world.basis, loop.time()
        return loop.time() - since_s >= QUIET_S or loop.time() >= end_s

    await bridge.finish_moves(is_quiet)
    return began_ms


async def _judge(bus: NatsBus, settings: Settings, quiet_ms: int) -> Summary:
    """The third act: the log, whole, before two independent judges."""
    err.print("reading the log and judging every decision ...", style="dim")
    log = await read_log(bus)
    audit = Audit(Rules.of(settings))
    for facts in (log.hosts, log.maps, log.assignments):
        audit.feed_all(facts)
    findings: list[Finding] = await asyncio.to_thread(audit.findings, None)
    report = await asyncio.to_thread(verify, log)
    letters = 0
    with contextlib.suppress(BusUnavailable):
        async for _ in bus.read(Stream.DEAD):
            letters += 1
    return Summary(log=log, findings=findings, report=report, unjudged=audit.unjudged, dead_letters=letters, quiet_ms=quiet_ms)


def _fleet(options: DemoOptions, stack: Stack) -> Child:
    argv = [sys.executable, "-m", "services.ops.demo.fleet", "--nats", stack.url, "--count", str(options.hosts)]
    argv += ["--seed", str(options.seed), "--calm-after", str(ARRIVAL_S + max(0.0, options.seconds - CALM_S))]
    return Child("fleet", argv, stack.environ())


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("KAFRA_")} | ENVIRON


@contextlib.contextmanager
def _store(options: DemoOptions) -> Iterator[Path]:
    if options.store is not None:
        yield options.store
        return
    with tempfile.TemporaryDirectory(prefix="kafra-demo-") as directory:
        yield Path(directory)
