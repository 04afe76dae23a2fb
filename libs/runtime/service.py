"""Runs one service as a process: settings, telemetry, connect, streams, follow, step, drain. The same shape for each.

if __name__ == "__main__":
    run(SERVICE)
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass

from libs.bus.errors import AuthorizationFailed, BusError
from libs.bus.nats import NatsBus, connect
from libs.bus.port import Bus, Following, Start
from libs.config import ConfigError, Settings
from libs.events import ConfigApplied, Event, NodeName, Stream
from libs.hosting.effects import Append, Core
from libs.runtime.clock import Clock
from libs.runtime.health import Health, HealthServer
from libs.runtime.log import start_logging
from libs.runtime.loop import EXIT_BUG, EXIT_DONE, EXIT_FINDING, notify_ready, run_loop, stop_on_signals, unless
from libs.runtime.process import Process, end_with_parent, node_name
from libs.runtime.shell import Shell
from libs.runtime.telemetry import Counters, start_telemetry

CONNECT_TIMEOUT_S = 30.0
CATCH_UP_TIMEOUT_S = 120.0
"""Rebuilding from 100,000 subjects takes seconds (NATS.md); beyond this something is wrong, and a restart may help."""
DRAIN_TIMEOUT_S = 5.0
LEASE_TTL_S = 2.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """What a service is, to the runtime. lease: its name, where only one replica may speak. make_core(settings, name, ms).
    answers: requests that one replica answers; its core is `Answering`. watches: its core is told whose connection to the bus
    begins and ends (`Watching`)."""

    name: str
    follows: tuple[Stream, ...]
    hears: tuple[type[Event], ...]
    lease: str | None
    make_core: Callable[[Settings, NodeName, int], Core]
    answers: tuple[type[Event], ...] = ()
    watches: bool = False


def run(service: Service) -> None:
    """The whole life of the process; never returns.

    Exit codes: 0 ended as asked, 1 the configuration or the streams are wrong, 3 no NATS server answers, 70 a bug.
    """
    end_with_parent()
    try:
        process = Process.read()
        settings = process.settings()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_FINDING)
    start_logging(service.name, "debug" if settings.monitoring.detailed_logging else process.log_level)
    sys.exit(run_loop(_life(service, process, settings)))


async def _life(service: Service, process: Process, settings: Settings) -> int:
    name, clock, counters = node_name(service.name), Clock(), Counters()
    telemetry = start_telemetry(service.name, name, counters, settings.monitoring.metrics_interval_s)
    health = Health(status=lambda: {"name": name, "config": settings.hash(), **counters.as_dict()})
    stopped = stop_on_signals()
    try:
        server = HealthServer(health, process.health_host, process.health_port) if process.health_port else None
    except OSError as error:
        _LOG.error("health on %s:%d: %s", process.health_host, process.health_port, error.strerror or error)
        telemetry.close()
        return EXIT_FINDING
    lost: list[str] = []

    def on_lost(reason: str) -> None:
        lost.append(reason)
        stopped.set()

    try:
        connecting = connect(
            settings.nats.url,
            name=name,
            credentials=settings.nats.credentials or None,
            on_lost=on_lost,
            connect_timeout_s=CONNECT_TIMEOUT_S,
        )
        if (bus := await unless(stopped, connecting)) is not None:
            try:
                shell = Shell(service.make_core(settings, name, clock.now_ms()), bus, clock, counters, telemetry)
                if (following := await unless(stopped, _start(service, settings, shell, bus))) is not None:
                    await _serve(shell, bus, following, health, stopped, settings)
            finally:
                await bus.close()
    except Exception as error:  # the middleware: said once, then the process ends
        if isinstance(error, BusError):
            raise
        _LOG.exception("bug: the process ends and starts again from the log")
        return EXIT_BUG
    finally:
        telemetry.close()
        if server is not None:
            server.close()
    if lost:
        _LOG.error("the log is not the one we followed: %s; starting anew", lost[0])
        return EXIT_BUG
    _LOG.info("ended: %s", counters.as_dict())
    return EXIT_DONE


async def _start(service: Service, settings: Settings, shell: Shell, bus: NatsBus) -> Following:
    """Streams, settings said, listening and caught up."""
    await bus.ensure_streams(settings.nats.replicas)
    await apply_config(bus, settings)
    for event_type in service.hears:
        await bus.hear(event_type, shell.on_heard)
    for event_type in service.answers:
        await bus.answer(event_type, shell.on_asked, queue=service.name)
    if service.watches:
        await _watch_connections(bus, shell)
    following = await bus.follow(service.follows, shell.on_fact, Start.LAST_PER_SUBJECT)
    await following.caught_up(CATCH_UP_TIMEOUT_S)
    if service.lease is not None:
        shell.use_lease(await bus.lease(service.lease, LEASE_TTL_S))
    return following


async def _watch_connections(bus: NatsBus, shell: Shell) -> None:
    try:
        await bus.watch_connections(shell.on_connection)
    except AuthorizationFailed as error:
        _LOG.warning("%s: who is cut off is noticed later, by silence", error)


async def _serve(
    shell: Shell, bus: NatsBus, following: Following, health: Health, stopped: asyncio.Event, settings: Settings
) -> None:
    shell.on_caught_up()
    health.ready = True
    notify_ready()
    _LOG.info("ready as %s, config %s", bus.name, settings.hash())
    stepping = asyncio.ensure_future(shell.run())
    beating = asyncio.ensure_future(_beat(health, bus))
    stopping = asyncio.ensure_future(stopped.wait())
    await asyncio.wait({stepping, stopping}, return_when=asyncio.FIRST_COMPLETED)
    shell.stop()
    health.ready = False
    for task in (beating, stopping):
        task.cancel()
    await stepping
    if not await shell.drained(DRAIN_TIMEOUT_S):
        _LOG.warning("ended with writes in doubt; the log has the last word")
    await following.close()


async def apply_config(bus: Bus, settings: Settings) -> None:
    """Say once which settings this hash stands for, so that replay can decide as it was decided."""
    fact = ConfigApplied(hash=settings.hash(), at_ms=Clock().now_ms(), settings=settings.public())
    await bus.append(Append(fact, expected=0))


async def _beat(health: Health, bus: Bus) -> None:
    while True:
        health.turn()
        health.ready = bus.connected
        await asyncio.sleep(0.5)
