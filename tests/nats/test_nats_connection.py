"""Connecting, credentials, permissions, streams that exist already with other limits."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import nats
import pytest

from libs.bus.embedded import EmbeddedServer
from libs.bus.errors import AuthorizationFailed, BusUnavailable, StreamMismatch
from libs.bus.nats import connect
from libs.bus.streams import NS, SPECS, config_for
from libs.events import HostId, HostLost, HostOrder, MapCensus, MapName, Stream
from libs.hosting.effects import Append, Committed, InDoubt
from libs.identity.accounts import Permissions, User

pytestmark = pytest.mark.nats

USERS = [
    User("kafra", "s3cret"),
    User("h1", "agent", Permissions(publish=("host.metrics.h1",), subscribe=("host.order.h1", "_INBOX_h1.>"))),
]


@pytest.fixture
async def guarded_server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path / "nats", users=USERS)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def credentials(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "credentials"
        path.write_text(text)
        return path

    return write


async def test_no_server_is_unavailable_within_the_time_given():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    started = asyncio.get_running_loop().time()

    with pytest.raises(BusUnavailable, match="no NATS server") as caught:
        await connect(f"nats://user:s3cret@127.0.0.1:{port}", name="x", connect_timeout_s=0.3)

    assert asyncio.get_running_loop().time() - started < 3
    assert "s3cret" not in str(caught.value)


async def test_a_listener_that_says_nothing_is_unavailable():
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(BusUnavailable):
        await connect(f"nats://127.0.0.1:{silent.getsockname()[1]}", name="x", connect_timeout_s=0.3)


async def test_a_server_that_comes_late_is_found(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = EmbeddedServer(tmp_path, port=port)
    connecting = asyncio.create_task(connect(server.url, name="x", connect_timeout_s=10))
    await asyncio.sleep(0)

    await server.start()
    bus = await connecting

    assert bus.connected
    await bus.close()
    await server.stop()


async def test_a_name_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no valid name"):
        await connect("nats://127.0.0.1:1", name="a.b")


async def test_right_credentials_are_accepted(guarded_server: EmbeddedServer, credentials):
    bus = await connect(guarded_server.url, name="x", credentials=credentials("# ours\nkafra:s3cret\n"))
    await bus.ensure_streams(1)

    assert await bus.append(Append(MapCensus(map=MapName("m"), at_ms=1, players={}), 0)) == Committed(1)
    await bus.close()


@pytest.mark.parametrize("text", ["kafra:wrong", "nobody:s3cret"])
async def test_wrong_credentials_fail_at_once(guarded_server: EmbeddedServer, credentials, text):
    async with asyncio.timeout(5):
        with pytest.raises(AuthorizationFailed):
            await connect(guarded_server.url, name="x", credentials=credentials(text), connect_timeout_s=60)


async def test_no_credentials_where_some_are_needed_fail(guarded_server: EmbeddedServer):
    with pytest.raises(AuthorizationFailed):
        await connect(guarded_server.url, name="x")


@pytest.mark.parametrize("text", ["", "just-a-word", "a:b\nc:d", ":", "\xff"])
async def test_a_credentials_file_that_is_none_is_said_without_its_content(credentials, text):
    with pytest.raises(AuthorizationFailed) as caught:
        await connect("nats://127.0.0.1:1", name="x", credentials=credentials(text))

    assert "credentials" in str(caught.value)
    assert "just-a-word" not in str(caught.value)


async def test_an_agent_hears_and_says_only_its_own(guarded_server: EmbeddedServer, credentials, eventually):
    ours = await connect(guarded_server.url, name="x", credentials=credentials("kafra:s3cret"))
    agent = await connect(
        guarded_server.url, name="h1", credentials=credentials("h1:agent"), inbox_prefix="_INBOX_h1", connect_timeout_s=5
    )
    orders: list[HostOrder] = []
    heard: list[HostLost] = []
    await agent.hear(HostOrder, orders.append, token="h1")
    await ours.hear(HostLost, heard.append)

    with pytest.raises(AuthorizationFailed):
        await agent.hear(HostOrder, orders.append, token="h2")
    agent.say(HostLost(host=HostId("h1"), at_ms=1, link="forged"))
    assert isinstance(await agent.append(Append(MapCensus(map=MapName("m"), at_ms=1, players={}), 0)), InDoubt)
    await agent.ping(5)
    await ours.ping(5)

    assert agent.connected, "a refusal ends no connection"
    assert heard == []
    await agent.close()
    await ours.close()


async def test_users_change_while_clients_stay(guarded_server: EmbeddedServer, credentials, eventually):
    ours = await connect(guarded_server.url, name="x", credentials=credentials("kafra:s3cret"))
    newcomer = credentials("h2:new")
    with pytest.raises(AuthorizationFailed):
        await connect(guarded_server.url, name="h2", credentials=newcomer)

    guarded_server.reload([*USERS, User("h2", "new")])
    joined: list[bool] = []

    async def joins() -> bool:
        try:
            await (await connect(guarded_server.url, name="h2", credentials=newcomer)).close()
        except AuthorizationFailed:
            return False
        joined.append(ours.connected)
        return True

    await eventually(joins)
    assert joined == [True]
    assert await ours.ping(5) < 5
    await ours.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"max_msgs_per_subject": 10}, "max_msgs_per_subject: 10, not 5000"),
        ({"max_age": 3600 * NS}, "max_age"),
        ({"storage": "memory"}, "storage"),
    ],
)
async def test_a_stream_that_would_lose_what_we_promise_is_refused(nats_server: EmbeddedServer, change, named):
    await create_stream(nats_server, {**config_for(SPECS[Stream.HOSTS], 1), **change})
    bus = await connect(nats_server.url, name="x")

    with pytest.raises(StreamMismatch, match=f"HOSTS.*{named}"):
        await bus.ensure_streams(1)
    await bus.close()


async def test_a_strangers_stream_on_our_subjects_is_refused(nats_server: EmbeddedServer):
    await create_stream(nats_server, {"name": "STRANGER", "subjects": ["map.>"]})
    bus = await connect(nats_server.url, name="x")

    with pytest.raises(StreamMismatch, match="MAPS"):
        await bus.ensure_streams(1)
    await bus.close()


async def test_replicas_without_a_cluster_are_refused(nats_server: EmbeddedServer):
    bus = await connect(nats_server.url, name="x")

    with pytest.raises(StreamMismatch, match="3 replicas"):
        await bus.ensure_streams(3)
    await bus.close()


async def test_a_harmless_difference_is_set_and_more_is_left(nats_server: EmbeddedServer):
    ours = config_for(SPECS[Stream.ASSIGNMENTS], 1)
    await create_stream(
        nats_server,
        {**ours, "deny_purge": False, "deny_delete": False, "duplicate_window": NS, "max_msgs_per_subject": 9_000},
    )
    bus = await connect(nats_server.url, name="x")

    await bus.ensure_streams(1)

    client = await nats.connect(nats_server.url)
    config = (await client.jsm().stream_info("ASSIGNMENTS")).config
    await client.close()
    assert (config.deny_purge, config.deny_delete, config.max_msgs_per_subject) == (True, True, 9_000)
    assert config.duplicate_window == ours["duplicate_window"] / NS
    await bus.close()


async def test_assignments_can_be_neither_purged_nor_deleted(nats_server: EmbeddedServer):
    bus = await connect(nats_server.url, name="x")
    await bus.ensure_streams(1)
    client = await nats.connect(nats_server.url)

    with pytest.raises(nats.js.errors.APIError):
        await client.jsm().purge_stream("ASSIGNMENTS")
    with pytest.raises(nats.js.errors.APIError):
        await client.jsm().delete_msg("ASSIGNMENTS", 1)
    await client.close()
    await bus.close()


async def create_stream(server: EmbeddedServer, config: dict[str, object]) -> None:
    client = await nats.connect(server.url)
    answer = await client.request(f"$JS.API.STREAM.CREATE.{config['name']}", msgspec.json.encode(config))
    assert b'"error"' not in answer.data
    await client.close()


async def test_a_connection_that_has_just_broken_closes_in_order(guarded_server: EmbeddedServer, credentials):
    """turns: of the event loop since; in some of them nats-py waits for the end of the very socket that is closed."""
    for turns in range(8):
        bus = await connect(guarded_server.url, name="x", credentials=credentials("kafra:s3cret"))
        await bus._connection.reconnect("a test")
        for _ in range(turns):
            await asyncio.sleep(0)

        await bus.close()

        assert not bus.connected
        assert [task for task in asyncio.all_tasks() if "attempt_reconnect" in repr(task)] == []
