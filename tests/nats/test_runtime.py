"""One service as a process, around a core made for the test: how it starts, says that it lives, drains and ends."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest

from libs.bus.embedded import EmbeddedServer
from libs.bus.nats import connect
from libs.config import Settings, load
from libs.events import ConfigApplied, MapCensus, MapEnter, MapName, Region, Stream
from libs.hosting.effects import Append, Committed
from services.ops.stack import SERVICES

pytestmark = pytest.mark.nats

Eventually = Callable[..., Awaitable[None]]
BOUND_S = 60.0
DRAINED = 300
PROGRAM = f"""
import os, signal, time
from libs.events import MapCensus, MapEnter, Stream
from libs.hosting.effects import Append
from libs.runtime import service
from libs.runtime.service import Service, run


class Core:
    def __init__(self):
        self.effects = []

    def on_fact(self, fact, now_ms):
        name = getattr(fact.event, "map", "")
        if isinstance(fact.event, MapEnter) and name == "crash":
            raise ValueError("planted bug")
        if isinstance(fact.event, MapEnter) and name == "hang":
            time.sleep(3600)
        if isinstance(fact.event, MapEnter) and name == "drain":
            self.effects = [Append(MapCensus(map=f"m{{n}}", at_ms=n, players={{}}), 0) for n in range({DRAINED})]

    def step(self, now_ms):
        effects, self.effects = self.effects, []
        if effects:
            os.kill(os.getpid(), signal.SIGTERM)
        return effects

    def on_caught_up(self, now_ms): pass
    def on_gap(self, now_ms): pass
    def on_lease(self, number, now_ms): pass
    def on_heard(self, event, now_ms): pass
    def on_settled(self, write, outcome, now_ms): pass


service.CONNECT_TIMEOUT_S = float(os.environ.get("CONNECT_TIMEOUT_S", "30"))
run(Service("made", (Stream.MAPS,), (), None, lambda settings, name, now_ms: Core()))
"""


class Life:
    """A process, its log, and its health port."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, port: int) -> None:
        self.process, self._log, self.port = process, log, port

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def answer(self, path: str) -> int:
        """HTTP status; 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0

    async def ends(self, eventually: Eventually) -> int:
        """Its exit code."""
        await eventually(lambda: self.process.poll() is not None, BOUND_S)
        return int(self.process.returncode)

    async def is_ready(self, eventually: Eventually) -> None:
        await eventually(lambda: self.answer("/readyz") == 200, BOUND_S)


@asynccontextmanager
async def life(url: str, directory: Path, *, program: str = PROGRAM, **environ: str) -> AsyncIterator[Life]:
    """The program running; killed by its pid at the end, if it still is."""
    port = _free_port()
    log = directory / f"log-{port}.txt"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("KAFRA_", "NOTIFY_SOCKET"))}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - a millisecond
            [sys.executable, "-c", program],
            env=plain | {"KAFRA__NATS__URL": url, "KAFRA_HEALTH_PORT": str(port)} | environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield Life(process, log, port)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def enter(url: str, name: str) -> None:
    bus = await connect(url, name="test")
    event = MapEnter(map=MapName(name), account_id=1, char_id=1, at_ms=1, region=Region("eu"), from_map=None, x=1, y=1)
    assert isinstance(await bus.append(Append(event, None)), Committed)
    await bus.close()


async def test_a_bug_in_a_core_ends_the_process_with_70_and_says_so(
    nats_server: EmbeddedServer, tmp_path: Path, eventually: Eventually
):
    async with life(nats_server.url, tmp_path) as made:
        await made.is_ready(eventually)

        await enter(nats_server.url, "crash")

        assert await made.ends(eventually) == 70
        assert "bug: the process ends and starts again from the log" in made.log
        assert "ValueError: planted bug" in made.log


async def test_sigterm_lets_what_is_in_flight_settle(nats_server: EmbeddedServer, tmp_path: Path, eventually: Eventually):
    async with life(nats_server.url, tmp_path) as made:
        await made.is_ready(eventually)

        await enter(nats_server.url, "drain")  # the core signals itself in the very step that writes

        assert await made.ends(eventually) == 0
        assert f"'committed': {DRAINED}" in made.log
        assert "'in_doubt': 0" in made.log
    bus = await connect(nats_server.url, name="test")
    stored = [fact async for fact in bus.read(Stream.MAPS) if isinstance(fact.event, MapCensus)]
    await bus.close()
    assert len(stored) == DRAINED


async def test_a_hanging_loop_is_not_healthy(nats_server: EmbeddedServer, tmp_path: Path, eventually: Eventually):
    async with life(nats_server.url, tmp_path) as made:
        await made.is_ready(eventually)
        assert (made.answer("/healthz"), made.answer("/statusz"), made.answer("/else")) == (200, 200, 404)

        await enter(nats_server.url, "hang")

        await eventually(lambda: made.answer("/healthz") == 503, BOUND_S)
        assert made.answer("/readyz") == 503
        assert made.answer("/statusz") == 200, "an engineer can still look"


async def test_ready_only_with_nats(tmp_path: Path, eventually: Eventually):
    server = EmbeddedServer(tmp_path / "nats")
    await server.start()
    await server.stop()
    try:
        async with life(server.url, tmp_path) as made:
            await eventually(lambda: made.answer("/healthz") == 200, BOUND_S)
            assert made.answer("/readyz") == 503
            await server.start()
            await made.is_ready(eventually)
            server.kill()
            await eventually(lambda: made.answer("/readyz") == 503, BOUND_S)
            assert made.answer("/healthz") == 200, "NATS away is no reason to be restarted"
            await server.start()
            await made.is_ready(eventually)

            made.process.send_signal(signal.SIGTERM)

            assert await made.ends(eventually) == 0
    finally:
        await server.stop()


async def test_sigterm_ends_a_process_that_still_looks_for_nats(tmp_path: Path, eventually: Eventually):
    async with life("nats://127.0.0.1:1", tmp_path) as made:
        await eventually(lambda: made.answer("/healthz") == 200, BOUND_S)

        began_s = time.monotonic()
        made.process.send_signal(signal.SIGTERM)

        assert await made.ends(eventually) == 0
        assert time.monotonic() - began_s < 15, "half of what it would have looked for"
        assert "Traceback" not in made.log


async def test_no_nats_at_all_is_exit_code_3_and_one_line(tmp_path: Path, eventually: Eventually):
    async with life("nats://127.0.0.1:1", tmp_path, CONNECT_TIMEOUT_S="0.3") as made:
        assert await made.ends(eventually) == 3
        assert len(made.log.splitlines()) == 1
        assert "no NATS server at nats://127.0.0.1:1" in made.log


async def test_a_stream_that_would_lose_what_it_must_keep_is_exit_code_1(
    nats_server: EmbeddedServer, tmp_path: Path, eventually: Eventually
):
    client = await nats.connect(nats_server.url)
    await client.jetstream().add_stream(name="HOSTS", subjects=["host.up.*"], max_msgs=5)
    await client.close()

    async with life(nats_server.url, tmp_path) as made:
        assert await made.ends(eventually) == 1
        assert "stream HOSTS would not keep what it must" in made.log
        assert "Traceback" not in made.log


async def test_a_wrong_configuration_is_exit_code_1_and_one_line_each(tmp_path: Path, eventually: Eventually):
    async with life("nats://127.0.0.1:1", tmp_path, KAFRA__FAILOVER__SILENCE_MS="soon", KAFRA__NO__KEY="1") as made:
        assert await made.ends(eventually) == 1
        assert [line.partition(":")[0] for line in made.log.splitlines()] == ["KAFRA__FAILOVER__SILENCE_MS", "KAFRA__NO__KEY"]


async def test_a_health_port_that_is_taken_is_exit_code_1_and_one_line(
    nats_server: EmbeddedServer, tmp_path: Path, eventually: Eventually
):
    async with life(nats_server.url, tmp_path, KAFRA_HEALTH_PORT=str(nats_server.port)) as made:
        assert await made.ends(eventually) == 1
        assert len(made.log.splitlines()) == 1
        assert f"health on 127.0.0.1:{nats_server.port}: Address already in use" in made.log


async def test_a_log_that_is_not_the_one_we_followed_means_starting_anew(tmp_path: Path, eventually: Eventually):
    server = EmbeddedServer(tmp_path / "nats")
    await server.start()
    fresh = EmbeddedServer(tmp_path / "fresh", port=server.port)
    try:
        async with life(server.url, tmp_path) as made:
            await made.is_ready(eventually)
            await enter(server.url, "m1")
            await server.stop()
            await fresh.start()

            assert await made.ends(eventually) == 70
            assert "the log is not the one we followed" in made.log
    finally:
        await server.stop()
        await fresh.stop()


async def test_settings_are_said_once_for_each_configuration(
    nats_server: EmbeddedServer, tmp_path: Path, eventually: Eventually
):
    for other in ({}, {}, {"KAFRA__FAILOVER__BACKUP_HOSTS_COUNT": "5"}):
        async with life(nats_server.url, tmp_path, **other) as made:
            await made.is_ready(eventually)
            made.process.send_signal(signal.SIGTERM)
            assert await made.ends(eventually) == 0

    bus = await connect(nats_server.url, name="test")
    said = [fact.event async for fact in bus.read(Stream.HOSTS) if isinstance(fact.event, ConfigApplied)]
    await bus.close()
    assert [event.hash for event in said] == [
        load(None, {}).hash(),
        load(None, {"KAFRA__FAILOVER__BACKUP_HOSTS_COUNT": "5"}).hash(),
    ]
    assert [Settings.from_public(event.settings).hash() for event in said] == [event.hash for event in said]


@pytest.mark.parametrize("service", SERVICES)
async def test_every_service_starts_is_ready_and_ends(
    service: str, nats_server: EmbeddedServer, tmp_path: Path, eventually: Eventually
):
    async with life(
        nats_server.url, tmp_path, program=f"import runpy; runpy.run_module('services.{service}', run_name='__main__')"
    ) as one:
        await one.is_ready(eventually)
        one.process.send_signal(signal.SIGTERM)

        assert await one.ends(eventually) == 0
        assert f"ready as {service}-" in one.log
        assert "ended: {" in one.log
