"""python -m services.relay: what players' clients connect to. Settings: KAFRA_CONFIG, KAFRA__RELAY__*."""

import asyncio
import contextlib
import logging
import sys
from pathlib import Path

from libs.config import ConfigError, Settings
from libs.events import Region
from libs.link.tls import client_context
from libs.runtime.clock import Clock
from libs.runtime.garbage import collect_seldom
from libs.runtime.health import Health, HealthServer
from libs.runtime.log import start_logging
from libs.runtime.loop import EXIT_BUG, EXIT_DONE, EXIT_FINDING, notify_ready, run_loop, stop_on_signals
from libs.runtime.process import Process, end_with_parent
from services.relay.alerts import Alerts
from services.relay.back import DialBack
from services.relay.onbus import OnBus
from services.relay.shell import RelayShell
from services.relay.table import Counts
from services.relay.timing import Timing

_LOG = logging.getLogger(__name__)


def main() -> None:
    end_with_parent()
    try:
        process = Process.read()
        settings = process.settings()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_FINDING)
    start_logging("relay", "debug" if settings.monitoring.detailed_logging else process.log_level)
    raise_file_limit()
    sys.exit(run_loop(_life(settings, process)))


async def _life(whole: Settings, process: Process) -> int:
    """The relay until SIGTERM. Exit code: 0 as asked, 1 an address is taken or the certificates are wrong."""
    settings, health, counts, bus = whole.relay, Health(), Counts(), OnBus(whole.nats)
    timing = Timing(Region(settings.region), bus, settings.connect_timeout_ms / 1000)

    def on_bridge(connected: bool) -> None:
        health.ready = connected

    try:
        context = client_context(Path(settings.tls)) if settings.tls else None
        back = _dial_back(whole, bus, counts) if settings.hosts else None
        shell = RelayShell(
            settings, context, back=back, counts=counts, on_rtt=timing.on_rtt, on_bridge=on_bridge, on_turn=health.turn
        )
        stands = back.reserve.status if back is not None else dict[str, int]
        health.status = lambda: {"name": settings.name, "region": settings.region, **shell.table.status(), **stands()}
        server = HealthServer(health, process.health_host, process.health_port) if process.health_port else None
    except (OSError, ValueError) as error:
        _LOG.error("%s", error)
        return EXIT_FINDING
    timed = bool(settings.region and settings.report_rtt)
    wanted = [*([bus.run()] if timed or back is not None else []), *([timing.run()] if timed else [])]
    aside = [asyncio.ensure_future(work) for work in wanted]
    try:
        await _run(shell, stop_on_signals())
    except OSError as error:
        _LOG.error("listening on %s: %s", settings.listen, error.strerror or error)
        return EXIT_FINDING
    except Exception:  # noqa: BLE001 - the middleware: said once, then the process ends
        _LOG.exception("bug: the process ends")
        return EXIT_BUG
    finally:
        if server is not None:
            server.close()
        for task in aside:
            task.cancel()
        await asyncio.gather(*aside, return_exceptions=True)
    _LOG.info("ended: %s", shell.table.status())
    return EXIT_DONE


def _dial_back(whole: Settings, bus: OnBus, counts: Counts) -> DialBack:
    """Raises: OSError: its address cannot be had."""
    clock = Clock()
    alerts = Alerts(bus, whole.relay.name, counts, clock, told=whole.monitoring.alert_on_failure)
    back = DialBack(whole.relay, bus.ask, alerts.refused, clock.now_ms, lambda: bus.connected)
    try:
        back.listen()
    except OSError as error:
        raise OSError(f"relay.hosts = {whole.relay.hosts}: {error.strerror or error}") from None
    return back


async def _run(shell: RelayShell, stopped: asyncio.Event) -> None:
    running = asyncio.ensure_future(shell.run(stopped))
    listening = asyncio.ensure_future(shell.listening.wait())
    try:
        await asyncio.wait({running, listening}, return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            _LOG.info("listening on port %d", shell.port)
            collect_seldom()
            notify_ready()
        await running
    finally:
        listening.cancel()


def raise_file_limit() -> None:
    """A client is two sockets; the usual soft limit is 1,024."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
