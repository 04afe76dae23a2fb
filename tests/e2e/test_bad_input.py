"""Anything at all, said raw on every subject: it becomes a dead letter with a reason, and nothing else happens."""

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from harness import System, running, until
from judges import judged
from nats.aio.client import Client
from players import Players

from libs.events import CATALOG, DeadLetter, HostId, MapName, Region, Stream
from libs.runtime.clock import Clock
from services.agent.core import Agent, Identity, Measured

pytestmark = pytest.mark.nats

MIB = 1024 * 1024
CALM = {"KAFRA__SECURITY__CHECK_INTERVAL_S": "3600"}
WRONG: tuple[Any, ...] = (
    None,
    "two words",
    b"\x00\xff",
    math.nan,
    math.inf,
    1e30,
    2**64 - 1,
    -(2**63),
    [],
    {},
    {"a": {"b": []}},
    "x" * 5000,
)
"""In the place of a number, a name or a map of numbers; 10^30 is beyond a MessagePack integer, so it comes as a float."""


def bodies(rng: random.Random) -> Iterator[bytes]:
    """No event of any kind."""
    yield b""
    yield b"\x80"  # an empty map
    yield b"\xc1" * 40  # a byte MessagePack never uses
    yield rng.randbytes(300)
    yield b"\x91" * 100_000 + b"\x01"  # nested beyond any stack
    yield b'{"map": "prontera"}'
    yield msgspec.msgpack.encode({"host": 5, "map": [1], "at_ms": "now"})


def twisted(body: dict[str, Any], fields: Sequence[str]) -> Iterator[bytes]:
    """A valid body with one of `fields` wrong at a time: whatever is in WRONG is none of their values."""
    for field in fields:
        for value in WRONG:
            yield msgspec.msgpack.encode({**body, field: value})


class Vandal:
    """A plain client who says what it likes. Each saying comes under a name of its own: dead letters are counted by it."""

    def __init__(self, client: Client) -> None:
        self._client, self._rng = client, random.Random(3)
        self.said = 0

    async def rage(self) -> None:
        for name, event_type in CATALOG.items():
            if event_type is DeadLetter:
                continue
            for body in bodies(self._rng):
                await self._say(name if event_type.declaration.token is None else f"{name}.{self._name()}", body)
        await self._twist_heartbeats()
        await self._twist_enters()
        for subject in ("map.enter.a.b", "map.enter", "host.metrics.a.b", "host.metrics.*x", "map.assign.>x", "nothing.at.all"):
            await self._say(subject, b"\x80")
        for subject in ("map.enter.huge", "host.metrics.huge", "map.assign.huge", "host.up.huge"):
            await self._say(subject, b"\xdb\x00\x0f\xff\x00" + bytes(MIB - 5))
        await self._client.flush()

    async def _twist_heartbeats(self) -> None:
        """In the name of a host that is not there, and never comes by this."""
        good = Agent(Identity(HostId("victim"), 1, Region("eu"))).metrics(Measured(cpu_ghz=4.0), {}, Clock().now_ms())
        body = msgspec.to_builtins(good)
        for wrong in twisted(body, ("host", "account_id", "at_ms", "seq", "port", "region", "leaving")):
            await self._say("host.metrics.victim", wrong)
        for field in ("cpu_ghz", "cpu_cores", "free_ram_mb", "jitter_ms", "packet_rate"):
            for value in WRONG[1:]:
                await self._say("host.metrics.victim", msgspec.msgpack.encode({**body, field: value}))
        await self._say("host.metrics.another", msgspec.msgpack.encode(body))

    async def _twist_enters(self) -> None:
        body = {
            "map": "wrong_fild01",
            "account_id": 1,
            "char_id": 1,
            "at_ms": 1,
            "region": "eu",
            "from_map": None,
            "x": 1,
            "y": 1,
        }
        for wrong in twisted(body, ("map", "account_id", "char_id", "at_ms", "x", "y")):
            await self._say("map.enter.wrong_fild01", wrong)
        await self._say("map.enter.other_fild01", msgspec.msgpack.encode(body))

    async def _say(self, subject: str, body: bytes) -> None:
        self.said += 1
        await self._client.publish(subject, body)
        await self._client.flush()

    def _name(self) -> str:
        return f"v{self.said}"


def picture(system: System) -> object:
    """The world without its sequences: garbage is stored, and counts."""
    world = system.world
    hosts = {host.id: (host.up, host.down, host.verdict, host.drain, host.ban) for host in world.hosts.values()}
    maps = {state.name: (state.enter, state.census, state.moved, state.assign) for state in world.maps.values()}
    return hosts, maps


async def test_garbage_on_every_subject_becomes_dead_letters_and_changes_nothing(tmp_path: Path):
    async with running(tmp_path, settings=CALM) as system:
        await system.add_host("h1")
        await system.trusted("h1")
        players = Players(system.bus, [], seed=1)
        players.enter("a_fild01")
        await until(lambda: "a_fild01" in _ready_maps(system, "h1"), "h1 serves the map")
        await system.quiet()
        before, pids = picture(system), _pids(system)
        client = await nats.connect(system.url)
        vandal = Vandal(client)

        await vandal.rage()

        players.enter("after_fild01")
        await until(lambda: system.server_of("after_fild01") == "h1", "a map is assigned as before")
        letters = [fact.event async for fact in system.bus.read(Stream.DEAD) if isinstance(fact.event, DeadLetter)]
        await client.close()
        _assert_letters(letters)
        assert _pids(system) == pids, "no service ended"
        assert await _all_alive(system)
        hosts, maps = _without(picture(system), "after_fild01")
        assert _without_up(hosts) == _without_up(before[0])  # type: ignore[index]
        assert maps == before[1]  # type: ignore[index]
        await system.quiet()
        await judged(system, strangers=True)


def _assert_letters(letters: list[DeadLetter]) -> None:
    subjects = {letter.subject.rpartition(".")[0] for letter in letters}
    heard = {
        name for name, event in CATALOG.items() if event.declaration.stream in (Stream.HOSTS, Stream.MAPS, Stream.ASSIGNMENTS)
    }
    assert heard | {"host.metrics"} <= subjects, f"no letter for {heard - subjects}"
    assert all(letter.reason for letter in letters)
    assert all(len(letter.head) <= 1024 for letter in letters)
    by_subject = {letter.subject: letter for letter in letters}
    assert "the body speaks of host" in by_subject["host.metrics.another"].reason
    assert "the body speaks of map" in by_subject["map.enter.other_fild01"].reason
    assert by_subject["map.enter.huge"].size == MIB
    assert "allowed are" in by_subject["map.enter.huge"].reason


def _ready_maps(system: System, host: str) -> list[MapName]:
    up = system.world.host(HostId(host)).up
    return up.ready_maps if up else []


def _pids(system: System) -> list[int | None]:
    assert system.stack.supervisor is not None
    return [child.pid for child in system.stack.supervisor.children]


async def _all_alive(system: System) -> bool:
    assert system.stack.supervisor is not None
    return all([(await system.status(child.name))["alive"] for child in system.stack.supervisor.children])


def _without(pair: object, name: str) -> tuple[dict[HostId, Any], dict[MapName, Any]]:
    assert isinstance(pair, tuple)
    hosts, maps = pair
    return hosts, {key: value for key, value in maps.items() if key != name}


def _without_up(hosts: dict[HostId, Any]) -> dict[HostId, Any]:
    """host.up is said anew when a map becomes ready; all else of a host stays."""
    return {host: facts[1:] for host, facts in hosts.items()}
