"""Callbacks of others, called where an exception must not travel further; and the end of tasks."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

END_TRIES = 5
END_TRY_S = 1.0
_LOG = logging.getLogger(__name__)


def guarded(callback: Callable[..., object], *args: object) -> None:
    """Call it; an exception goes to the event loop's handler (which logs, and in a service ends it), not to the read loop."""
    try:
        callback(*args)
    except Exception as error:  # noqa: BLE001 - a callback's bug must not end the connection of all others
        report(callback, error)


def report(callback: Callable[..., object], error: Exception) -> None:
    """To the event loop's handler."""
    asyncio.get_running_loop().call_exception_handler({"message": f"{callback!r} failed", "exception": error})


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel and wait, bounded. More than once: asyncio.wait_for of Python 3.11, which nats-py uses, swallows a cancellation
    that comes together with what it waits for."""
    pending = {task for task in tasks if not task.done()}
    for _ in range(END_TRIES):
        if not pending:
            return
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=END_TRY_S)
    _LOG.error("tasks that do not end: %s", pending)
