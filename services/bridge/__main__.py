"""python -m services.bridge: between rAthena's map-servers and its char-server. Settings: KAFRA_CONFIG, KAFRA__BRIDGE__*."""

import asyncio
import logging
import sys

from libs.config import ConfigError
from libs.runtime.health import Health, HealthServer
from libs.runtime.log import start_logging
from libs.runtime.loop import EXIT_DONE, EXIT_FINDING, notify_ready, run_loop, stop_on_signals
from libs.runtime.process import Process, end_with_parent
from services.bridge.settings import CannotStart, is_open
from services.bridge.shell import BridgeProcess

_LOG = logging.getLogger(__name__)


def main() -> None:
    end_with_parent()
    try:
        process = Process.read()
        settings = process.settings()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_FINDING)
    start_logging("bridge", "debug" if settings.monitoring.detailed_logging else process.log_level)
    try:
        sys.exit(run_loop(_life(process, BridgeProcess(settings, open_=is_open()))))
    except CannotStart as error:
        _LOG.error("%s", error)
        sys.exit(EXIT_FINDING)


async def _life(process: Process, bridge: BridgeProcess) -> int:
    stopped = stop_on_signals()
    health = Health(status=bridge.status)
    server = HealthServer(health, process.health_host, process.health_port) if process.health_port else None
    await bridge.start()
    health.ready = True
    notify_ready()
    running = asyncio.ensure_future(bridge.run())
    stopping = asyncio.ensure_future(stopped.wait())
    beating = asyncio.ensure_future(_beat(health))
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        for task in (running, stopping, beating):
            task.cancel()
        await asyncio.gather(running, stopping, beating, return_exceptions=True)
        await bridge.close()
        if server is not None:
            server.close()
    return EXIT_DONE


async def _beat(health: Health) -> None:
    while True:
        health.turn()
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    main()
