"""Hosts through their agents' links: TLS, tickets of the registry, cuts that nobody notices, deaths that are known at once."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.agent.link_events import Gone, Linked
from tests.rathena.cutting import Proxy
from tests.rathena.figures import count, tell
from tests.rathena.hosting import TwinHost
from tests.rathena.realm import Realm
from tests.rathena.surroundings import FIELD
from tests.rathena.twin.client import TwinClient

PLAYERS = 10
CUTS = count(3, 20)
CUT_S = 0.7
pytestmark = [pytest.mark.nats, pytest.mark.timeout(180 + 10 * CUTS)]


@asynccontextmanager
async def on_a_host(tmp_path: Path, hosts: int = 2) -> AsyncIterator[tuple[Realm, Proxy, list[TwinClient], TwinHost]]:
    """Everybody on the field of a host, saved; its link goes through a proxy."""
    async with Realm.running(tmp_path, players=PLAYERS, linked=True) as realm, Proxy.running(realm.ports["hosts"]) as proxy:
        realm.through = proxy.port
        await realm.add_hosts(hosts)
        players = await realm.enter_all(PLAYERS)
        await realm.to_field(players)
        host = await realm.hosted()
        await realm.in_play(players)
        await realm.attack(players)
        await realm.kept(players)
        yield realm, proxy, players, host


@pytest.mark.parametrize("kind", ["cut", "silence"])
async def test_a_link_interrupted_for_700_ms_is_seen_by_nobody(tmp_path: Path, kind: str) -> None:
    async with on_a_host(tmp_path) as (realm, proxy, players, host):
        server, events, moves = host.servers.running[FIELD], len(host.events), len(realm.moved)
        loads = [len(player.core.loads) for player in players]

        for _ in range(CUTS):
            interrupted = asyncio.ensure_future(proxy.cut(CUT_S) if kind == "cut" else proxy.silence(CUT_S))
            await realm.attack(players, times=2)
            await interrupted
            await realm.attack(players)
            await realm.kept(players)

        assert realm.undisturbed()
        assert [len(player.core.loads) for player in players] == loads
        assert {player.core.zeny for player in players} == {1_010 + 30 * CUTS}
        assert host.servers.running[FIELD] is server
        assert not [event for event in host.events[events:] if isinstance(event, Gone | Linked)]
        assert len(realm.moved) == moves
        assert realm.serving() is host


async def test_a_link_lost_for_longer_moves_the_map_and_the_host_comes_back_owning_nobody(tmp_path: Path) -> None:
    async with on_a_host(tmp_path) as (realm, proxy, players, host):
        await realm.loads_after(players, lambda: asyncio.ensure_future(proxy.cut(4.0)))
        await realm.attack(players)
        await realm.kept(players)

        assert realm.undisturbed()
        assert realm.moved[-1].from_ == host.id
        await realm.until(
            lambda: any(isinstance(event, Gone) for event in host.events), "the agent knows that it lost the link"
        )
        await realm.until(lambda: host.link.linked or FIELD not in host.servers.running, "it is linked again, or let go of")
        assert host.servers.unordered_ends == [], "a lost link kills no map-server"
        if (server := host.servers.running.get(FIELD)) is not None:
            await realm.emptied(server)


async def next_host(realm: Realm, players: int = PLAYERS) -> TwinHost:
    """Who takes the field over next, when connections stand between it and the relay for all who play there."""
    await realm.hosted()
    assign = realm.world.map(FIELD).assign
    assert assign is not None
    host = next(host for host in realm.hosts if host.id == assign.backups[0])
    await realm.until(lambda: host.dialing is not None and host.dialing.standing == players, "connections stand by")
    return host


async def test_a_killed_map_server_is_known_at_once(tmp_path: Path) -> None:
    async with on_a_host(tmp_path, hosts=3) as (realm, _, players, _host):
        ms: list[float] = []
        for _ in range(count(3, 50)):
            host = await realm.hosted()
            await next_host(realm)
            ms += await realm.loads_after(players, host.servers.running[FIELD].kill)

        assert realm.undisturbed()
        assert {move.kind for move in realm.moved[-2:]} <= {"death", "orderly"}
        tell("death of a linked host's map-server, kill to load-end", ms)


async def test_after_a_death_players_come_by_connections_that_stood(tmp_path: Path) -> None:
    async with on_a_host(tmp_path, hosts=3) as (realm, _, players, host):
        before = (await realm.status("relay"))["standing_used"]
        backup = await next_host(realm)
        assert backup.dialing is not None

        await realm.loads_after(players, host.servers.running[FIELD].kill)
        await realm.attack(players)
        await realm.kept(players)

        assert realm.undisturbed()
        assert realm.serving() is backup
        assert (backup.dialing.stood_by, backup.dialing.dialled, backup.dialing.players) == (PLAYERS, 0, PLAYERS)
        assert (await realm.status("relay"))["standing_used"] == before + PLAYERS


async def test_when_they_were_cut_just_before_the_death_nobody_notices(tmp_path: Path) -> None:
    async with on_a_host(tmp_path, hosts=3) as (realm, _, players, host):
        backup = await next_host(realm)
        assert backup.dialing is not None

        def cut_and_kill() -> None:
            assert backup.dialing is not None
            for pipe in backup.dialing._standing.pipes:
                pipe.abort("cut")
            host.servers.running[FIELD].kill()

        await realm.loads_after(players, cut_and_kill)
        await realm.attack(players)
        await realm.kept(players)

        assert realm.undisturbed()
        assert realm.serving() is backup
        assert (backup.dialing.stood_by, backup.dialing.dialled) == (0, PLAYERS)


async def test_a_killed_agent_whose_map_servers_die_with_it_is_known_at_once(tmp_path: Path) -> None:
    """The link's end alone would be doubted for 1.5 s; its players' connections tell."""
    async with on_a_host(tmp_path, hosts=3) as (realm, _, players, host):
        ms = await realm.loads_after(players, host.die)
        await host.vanish()

        assert realm.undisturbed()
        await realm.until(lambda: realm.moved[-1].kind == "death", "the death is said")
        assert (realm.moved[-1].from_, realm.moved[-1].players) == (host.id, PLAYERS)
        await realm.attack(players)
        await realm.kept(players)
        assert "its link and a player's connection ended together" in realm.log("bridge")
        tell("death of an agent, kill to load-end", ms)


async def test_a_bridge_that_is_killed_gets_its_hosts_back_with_new_tickets(tmp_path: Path) -> None:
    async with on_a_host(tmp_path) as (realm, _, players, host):
        loads = [len(player.core.loads) for player in players]

        realm.signal("bridge", signal.SIGKILL)
        await realm.attack(players, times=2)
        await realm.kept(players)

        assert realm.undisturbed()
        await realm.until(lambda: host.link.linked, "the agent is linked again")
        assert [len(player.core.loads) for player in players] == loads
        assert realm.serving() is host
