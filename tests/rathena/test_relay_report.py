"""relay.report_rtt: whether a relay process speaks on the bus at all."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from libs.bus.embedded import EmbeddedServer
from tests.rathena.surroundings import free_ports

pytestmark = pytest.mark.nats

Eventually = Callable[..., Awaitable[None]]
CONNECTED = "NATS: connected"


@contextlib.asynccontextmanager
async def relay(log: Path, url: str, **settings: str) -> AsyncIterator[Callable[[], str]]:
    """A relay process and its log so far; it ends by SIGTERM with 0."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("KAFRA_", "NOTIFY_SOCKET"))}
    ours = (
        {"KAFRA__NATS__URL": url, "KAFRA__RELAY__LISTEN": f"127.0.0.1:{free_ports(log.name)[log.name]}"}
        | {"KAFRA__RELAY__HOSTS": ""}
        | settings
    )
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.relay", env=plain | ours, stdout=output, stderr=output
        )
    try:
        yield lambda: log.read_text(encoding="utf-8")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_only_a_relay_that_has_a_region_and_shall_report_connects_to_the_bus(
    nats_server: EmbeddedServer, tmp_path: Path, eventually: Eventually
):
    url, eu = nats_server.url, {"KAFRA__RELAY__REGION": "eu"}
    async with (
        relay(tmp_path / "off", url, **eu, KAFRA__RELAY__REPORT_RTT="0") as off,
        relay(tmp_path / "nowhere", url) as nowhere,
    ):
        await eventually(lambda: all("listening on port" in log() for log in (off, nowhere)), 60)
        async with relay(tmp_path / "on", url, **eu) as on:
            await eventually(lambda: CONNECTED in on(), 60)

        assert all("NATS" not in log() for log in (off, nowhere))
