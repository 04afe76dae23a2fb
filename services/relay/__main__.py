"""python -m services.relay: what players' clients connect to. Told by KAFRA_RELAY_* (settings.py)."""

import asyncio
import contextlib
import logging
import sys

from pydantic import ValidationError

from libs.config import ConfigError
from libs.link.tls import BadIdentity, client_context
from libs.runtime.health import Health, HealthServer
from libs.runtime.process import Process, end_with_parent
from libs.runtime.service import EXIT_DONE, EXIT_FINDING, notify_ready, run_loop, stop_on_signals
from libs.runtime.telemetry import start_logging
from services.relay.settings import RelaySettings
from services.relay.shell import RelayShell

_LOG = logging.getLogger(__name__)


async def life(settings: RelaySettings, process: Process) -> int:
    """The relay until SIGTERM. Exit code: 0 as asked, 1 an address is taken or the certificates are wrong."""
    health = Health()
    try:
        context = client_context(settings.tls) if settings.tls is not None else None
        shell = RelayShell(
            settings, context, on_bridge=lambda connected: setattr(health, "ready", connected), on_turn=health.turn
        )
        health.status = lambda: {"name": settings.name, "region": settings.region, **shell.table.status()}
        server = HealthServer(health, process.health_host, process.health_port) if process.health_port else None
    except (BadIdentity, OSError) as error:
        _LOG.error("%s", error)
        return EXIT_FINDING
    stopped = stop_on_signals()
    code = EXIT_DONE
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(shell.run(stopped))
            listening = tasks.create_task(shell.listening.wait())
            await asyncio.wait({running, listening}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                _LOG.info("listening on port %d", shell.port)
                notify_ready()
            listening.cancel()
    except* OSError as errors:
        _LOG.error("listening on %s: %s", settings.listen, errors.exceptions[0])
        code = EXIT_FINDING
    finally:
        if server is not None:
            server.close()
    _LOG.info("ended: %s", shell.table.status())
    return code


def raise_file_limit() -> None:
    """A client is two sockets; the usual soft limit is 1,024."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    end_with_parent()
    try:
        process, settings = Process.read(), RelaySettings()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FINDING
    except ValidationError as error:
        for item in error.errors():
            sys.stderr.write(f"KAFRA_RELAY_{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}\n")
        return EXIT_FINDING
    start_logging(f"relay/{settings.name}", process.log_level)
    raise_file_limit()
    return run_loop(life(settings, process))


if __name__ == "__main__":
    sys.exit(main())
