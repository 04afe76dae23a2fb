"""The outermost of every process of ours: its event loop, signals, exit codes. Knows neither services nor their settings."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

from libs.bus.errors import BusError, BusUnavailable
from libs.config import ConfigError

EXIT_DONE, EXIT_FINDING, EXIT_NO_ANSWER, EXIT_BUG = 0, 1, 3, 70
_LOG = logging.getLogger(__name__)
T = TypeVar("T")


def run_loop(life: Coroutine[Any, Any, int]) -> int:
    """`asyncio.run` on uvloop where there is one; exit code of `life`, errors said in one line."""
    loop_factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(life)
    except ConfigError as error:  # found out only when what a setting names was read
        _LOG.error("%s", error)
        return EXIT_FINDING
    except BusUnavailable as error:
        _LOG.error("%s", error)
        return EXIT_NO_ANSWER
    except BusError as error:
        _LOG.error("%s", error)
        return EXIT_FINDING


def notify_ready() -> None:
    """Tell who started us (`kafra up`, systemd) that we are ready: the sd_notify protocol."""
    if path := os.environ.get("NOTIFY_SOCKET"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", path)


def stop_on_signals() -> asyncio.Event:
    """Set by SIGTERM and SIGINT; on Windows by Ctrl-C and Ctrl-Break."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGBREAK", signal.SIGINT)):
        try:
            loop.add_signal_handler(signal_number, stopped.set)
        except NotImplementedError:  # the event loops of Windows
            signal.signal(signal_number, lambda *_: loop.call_soon_threadsafe(stopped.set))
    return stopped


async def unless(stopped: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None where `stopped` came first: then it is cancelled."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
