"""Callbacks of others, called where an exception must not travel further."""

import asyncio
from collections.abc import Callable


def guarded(callback: Callable[..., object], *args: object) -> None:
    """Call it; an exception goes to the event loop's handler (which logs, and in a service ends it), not to the read loop."""
    try:
        callback(*args)
    except Exception as error:  # noqa: BLE001 - a callback's bug must not end the connection of all others
        asyncio.get_running_loop().call_exception_handler({"message": f"{callback!r} failed", "exception": error})
