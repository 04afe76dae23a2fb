"""A host with a port that its router forwards: relays come in to it. And where nothing answers there, it dials as any other."""

from pathlib import Path

import pytest

from libs.events import HostUp
from tests.bundle.bundle_maker import PUBLIC, publish
from tests.bundle.bundle_web import web
from tests.rathena.real_agent import ANY_MACHINE, RealAgent, real_agent
from tests.rathena.realm import Realm
from tests.rathena.serving_lab import twin_files
from tests.rathena.surroundings import FIELD, free_ports
from tests.rathena.twin.client import TwinClient

PLAYERS = 3
NOBODY = "198.51.100.77"
"""Of no machine (RFC 5737): nothing answers, as at a router that forwards nothing."""
pytestmark = [pytest.mark.nats, pytest.mark.timeout(120)]


async def test_relays_come_to_an_open_port_and_are_dialled_where_none_answers(tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish(out, twin_files())
    port = free_ports("open")["open"]
    async with Realm.running(tmp_path, players=PLAYERS, linked=True, settings=ANY_MACHINE) as realm, web(out) as bundles:
        bundle = (bundles.url, PUBLIC)
        players = await realm.enter_all(PLAYERS)
        await realm.to_field(players)

        open_ = ("--address", "127.0.0.1", "--port", str(port))
        async with real_agent(realm.stack.url, "open_pc", tmp_path / "a", number=1, bundle=bundle, words=open_) as agent:
            await played_on(realm, players, agent)
            assert {up.reach for up in realm.said(HostUp) if up.host == agent.id} == {"direct"}
            assert "is not reached at its port" not in realm.log("relay")
            agent.terminate()
            assert await agent.ended() == 0
        await realm.until(lambda: on(realm, None), "the map is on the VPS")
        await realm.kept(players)
        dialled = (await realm.status("relay"))["dialled"]

        closed = ("--address", NOBODY, "--port", str(port))
        async with real_agent(realm.stack.url, "shut_pc", tmp_path / "b", number=2, bundle=bundle, words=closed) as agent:
            await played_on(realm, players, agent)
            assert "is not reached at its port" in realm.log("relay")
        assert (await realm.status("relay"))["dialled"] > dialled
        assert NOBODY not in realm.log("relay")
        assert realm.undisturbed()


def on(realm: Realm, host: str | None) -> bool:
    return bool(realm.moved) and (realm.moved[-1].to, realm.moved[-1].outcome) == (host, "moved")


async def played_on(realm: Realm, players: list[TwinClient], agent: RealAgent) -> None:
    """The field goes there, and the players with it."""
    try:
        await realm.until(lambda: on(realm, agent.id), f"{FIELD} is on {agent.id}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{''.join(agent.said[-12:])}") from None
    await realm.in_play(players)
    await realm.attack(players, times=2)
