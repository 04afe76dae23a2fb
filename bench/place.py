"""Where a figure is measured: a fresh embedded server with our streams, and processes on it, each ended by its pid."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from libs.bus.embedded import EmbeddedServer
from libs.bus.nats import NatsBus, connect
from libs.events import Event
from libs.hosting.effects import Append, Committed, Outcome
from services.ops.supervisor import Child, Supervisor

SETTINGS = {
    "KAFRA__MAPS__ELIGIBLE__FIELD": "*",
    "KAFRA__MAPS__NEVER": "",
    "KAFRA_LOG_LEVEL": "warning",
}
"""Every map may be hosted; all else is as shipped."""
CHILD_TIMEOUT_S = 120
ROOT = Path(__file__).parents[1]


@contextlib.asynccontextmanager
async def server(facts: Iterable[Event] = ()) -> AsyncIterator[str]:
    """The URL of a new nats-server with our streams, `facts` in them."""
    with tempfile.TemporaryDirectory(prefix="kafra-bench-") as store:
        embedded = EmbeddedServer(Path(store) / "nats")
        await embedded.start()
        try:
            bus = await connect(embedded.url, name="bench")
            await bus.ensure_streams(1)
            await write_all(bus, facts)
            await bus.close()
            yield embedded.url
        finally:
            await embedded.stop()


async def write_all(bus: NatsBus, facts: Iterable[Event]) -> None:
    """Returns when all are committed."""
    waiting = 0
    settled = asyncio.Event()

    def on_settled(_: Append, outcome: Outcome) -> None:
        nonlocal waiting
        assert isinstance(outcome, Committed), outcome
        waiting -= 1
        settled.set()

    for fact in facts:
        waiting += 1
        bus.submit(Append(fact, None), on_settled)
        if waiting >= 1024:
            settled.clear()
            await settled.wait()
    while waiting:
        settled.clear()
        await settled.wait()


@contextlib.asynccontextmanager
async def process(name: str, *argv: str, url: str, more: Mapping[str, str] | None = None) -> AsyncIterator[psutil.Process]:
    """`python -m argv...` on the server, ready; ended at the end. more: of its environment.

    Raises:
        TimeoutError: not ready in time.
        RuntimeError: it died meanwhile, so the figure is none.
    """
    child = Child(name, [sys.executable, "-m", *argv], {**environ(url), **(more or {})})
    supervisor = Supervisor([child])
    await supervisor.start()
    try:
        yield psutil.Process(child.pid)
    finally:
        await supervisor.stop()
    if child.restarts:
        raise RuntimeError(f"{name} died and was started again {child.restarts} times")


async def ask(*argv: str, url: str) -> Any:
    """What `python -m argv...` prints, as JSON.

    Raises:
        RuntimeError: it failed.
    """
    asked = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *argv, env=environ(url), stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        said, _ = await asyncio.wait_for(asked.communicate(), CHILD_TIMEOUT_S)
    except BaseException:
        asked.kill()
        await asked.wait()
        raise
    if asked.returncode:
        raise RuntimeError(f"{' '.join(argv)} ended with {asked.returncode}")
    return json.loads(said)


def cpu_s(of: psutil.Process) -> float:
    """Seconds of CPU it has used: on a machine that others use too, steadier than the clock."""
    used = of.cpu_times()
    return used.user + used.system


def environ(url: str) -> Mapping[str, str]:
    """Of a process: the machine's own, without any other configuration of Kafra."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("KAFRA_", "OTEL_"))}
    return inherited | SETTINGS | {"KAFRA__NATS__URL": url, "PYTHONPATH": str(ROOT)}
