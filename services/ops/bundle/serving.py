"""kafra bundle serve: the directory as static files. aiohttp answers ranges, so what was cut is resumed."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from libs.runtime.loop import stop_on_signals


def serve_until_stopped(directory: Path, listen: str, port: int, ready: Callable[[str], None]) -> None:
    """Until SIGTERM or Ctrl-C. ready(url): it listens. Raises: OSError, where it cannot."""
    asyncio.run(_serve(directory, listen, port, ready))


async def _serve(directory: Path, listen: str, port: int, ready: Callable[[str], None]) -> None:
    stopped = stop_on_signals()
    app = web.Application()
    app.router.add_static("/", directory, show_index=False, follow_symlinks=False)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, listen, port)
        await site.start()
        host, at = runner.addresses[0][:2]
        ready(f"http://{f'[{host}]' if ':' in host else host}:{at}")
        await stopped.wait()
    finally:
        await runner.cleanup()
