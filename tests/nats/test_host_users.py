"""The embedded server's users follow the log: who is enrolled may connect, who is removed is out, nobody else is disturbed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.bus.embedded import EmbeddedServer
from libs.bus.errors import AuthorizationFailed
from libs.bus.nats import NatsBus, connect
from libs.events import HostId, OpsEnroll
from libs.hosting.effects import Append, Committed
from libs.identity.accounts import User
from libs.identity.keys import Kind, make_seed, public_key_of, write_secret
from libs.identity.permissions import host_permissions, inbox_prefix
from services.ops.keeper import HostUsers

pytestmark = pytest.mark.nats

OWN = User("kafra", "s3cret")
CLIENTS = 200
RELOADS = 20


class Place:
    """A server, its keeper, and seeds of hosts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.credentials = directory / "services"
        write_secret(self.credentials, f"{OWN.name}:{OWN.password}\n")
        self.server = EmbeddedServer(directory / "nats", users=[OWN])
        self.keeper: HostUsers | None = None
        self.bus: NatsBus | None = None
        self._opened: list[NatsBus] = []

    async def start(self) -> None:
        await self.server.start()
        self.keeper = HostUsers(self.server, [OWN], self.server.url, self.credentials)
        await self.keeper.start()
        self.bus = await connect(self.server.url, name="operator", credentials=self.credentials)

    async def stop(self) -> None:
        for bus in [*self._opened, *([self.bus] if self.bus else [])]:
            await bus.close()
        self._opened.clear()
        if self.keeper is not None:
            await self.keeper.stop()
        await self.server.stop()

    def seed(self, host: str) -> Path:
        path = self.directory / f"{host}.seed"
        if not path.exists():
            write_secret(path, make_seed(Kind.USER) + "\n")
        return path

    def key(self, host: str) -> str:
        return public_key_of(self.seed(host).read_text().strip())

    async def enroll(self, host: str, key: str | None) -> None:
        assert self.bus is not None
        said = OpsEnroll(host=HostId(host), at_ms=1, key=key, account_id=1, by="test")
        assert isinstance(await self.bus.append(Append(said, None)), Committed)

    async def agent(self, host: str) -> NatsBus:
        bus = await connect(self.server.url, name=host, credentials=self.seed(host), inbox_prefix=inbox_prefix(host))
        self._opened.append(bus)
        return bus

    async def may_connect(self, host: str) -> bool:
        try:
            await (await self.agent(host)).close()
        except AuthorizationFailed:
            return False
        return True


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_an_enrolled_host_may_connect_without_anybody_restarting(place: Place, eventually):
    assert not await place.may_connect("h1")

    await place.enroll("h1", place.key("h1"))
    await eventually(lambda: place.may_connect("h1"))

    assert not await place.may_connect("h2")


async def test_a_removed_host_is_disconnected_and_stays_out(place: Place, eventually):
    for host in ("h1", "h2"):
        await place.enroll(host, place.key(host))
        await eventually(lambda host=host: place.may_connect(host))
    removed, kept = await place.agent("h1"), await place.agent("h2")

    await place.enroll("h1", None)
    await eventually(lambda: not removed.connected)

    assert not await place.may_connect("h1")
    assert kept.connected
    assert await kept.ping(5) < 5
    assert not removed.connected


async def test_a_host_bound_to_another_key_lets_the_old_one_out(place: Place, eventually):
    await place.enroll("h1", place.key("h1"))
    await eventually(lambda: place.may_connect("h1"))
    old = await place.agent("h1")

    await place.enroll("h1", place.key("new"))
    await eventually(lambda: place.may_connect("new"))
    await eventually(lambda: not old.connected)

    assert not await place.may_connect("h1")


async def test_a_host_that_was_removed_and_is_let_in_again_comes_back_by_itself(place: Place, eventually):
    await place.enroll("h1", place.key("h1"))
    await eventually(lambda: place.may_connect("h1"))
    agent = await place.agent("h1")
    await place.enroll("h1", None)
    await eventually(lambda: not agent.connected)
    assert not await place.may_connect("h1")

    await place.enroll("h1", place.key("h1"))

    await eventually(lambda: agent.connected, 30)


async def test_what_the_server_would_not_take_keeps_nobody_out(place: Place, eventually):
    """Written past `kafra hosts add`, which refuses them: a key with a wrong checksum, and one key for two hosts."""
    await place.enroll("bad", "U" + "A" * 55)
    await place.enroll("h1", place.key("h1"))
    await place.enroll("thief", place.key("h1"))
    await place.enroll("h2", place.key("h2"))

    await eventually(lambda: place.may_connect("h2"))

    assert await place.may_connect("h1")
    text = (place.server.store / "nats-server.conf").read_text()
    assert "host.metrics.h1" in text
    assert "host.metrics.thief" not in text


async def test_the_users_are_made_from_the_log_when_it_starts_again(place: Place, eventually):
    await place.enroll("h1", place.key("h1"))
    await place.stop()
    (place.server.store / "nats-server.conf").unlink()

    await place.start()

    await eventually(lambda: place.may_connect("h1"))


async def test_an_agent_outlives_a_restart_of_it_all(place: Place, eventually):
    await place.enroll("h1", place.key("h1"))
    await eventually(lambda: place.may_connect("h1"))
    agent = await connect(
        place.server.url, name="h1", credentials=place.seed("h1"), inbox_prefix=inbox_prefix("h1"), connect_timeout_s=10
    )

    await place.stop()
    await eventually(lambda: not agent.connected)
    await place.start()

    await eventually(lambda: agent.connected, 30)
    await agent.close()


async def test_a_server_killed_while_users_change_has_the_new_ones(place: Place, eventually):
    place.server.kill()
    users = [OWN, User(place.key("h1"), permissions=host_permissions("h1"))]
    starting = asyncio.create_task(place.server.start())
    await asyncio.sleep(0)

    place.server.reload(users)
    await starting

    assert place.server.running
    await eventually(lambda: place.may_connect("h1"), 30)


@pytest.mark.timeout(180)
async def test_reloading_disconnects_nobody(place: Place, eventually):
    hosts = [f"h{number}" for number in range(CLIENTS)]
    for host in hosts:
        await place.enroll(host, place.key(host))
    await eventually(lambda: place.may_connect(hosts[-1]))
    agents = [await place.agent(host) for host in hosts]
    ended: list[tuple[str, str]] = []
    began: set[tuple[str, int]] = set()
    assert place.bus is not None

    def on_connection(said) -> None:
        if not said.connected:
            ended.append((said.name, said.reason))
        elif said.name in hosts:
            began.add((said.name, said.id))

    await place.bus.watch_connections(on_connection)

    for number in range(RELOADS):
        await place.enroll(f"more{number}", place.key(f"more{number}"))
        await eventually(lambda number=number: place.may_connect(f"more{number}"))

    strangers = [(name, reason) for name, reason in ended if not name.startswith("more")]
    assert strangers == []
    assert len(began) == CLIENTS  # told again by each reload, each under the id it had
    assert all(agent.connected for agent in agents)
