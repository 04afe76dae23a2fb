"""Hosts and strangers that do what no agent of ours does cost the relay, and whoever else plays there, nothing."""

import asyncio
import os
import socket
import ssl
from pathlib import Path

import pytest

from libs.bus.embedded import EmbeddedServer
from libs.events import HostDial, HostDialReply
from libs.events.orders import NO_PORT
from libs.link.dials import DIAL_ANSWERS, DialOpen, DialRefused
from libs.link.frames import first, frame
from libs.link.keys import linking_context
from libs.link.messages import Entered
from services.relay import standing as relay_standing
from services.relay.reserve import TICK_S
from tests.rathena.dial_lab import HOST, WAIT_S, dial_lab
from tests.rathena.dial_stand import stand, wish
from tests.rathena.relay_words import WALK

pytestmark = pytest.mark.nats


async def test_a_host_that_speaks_of_a_port_it_was_not_asked_for_takes_nobody(nats_server: EmbeddedServer, tmp_path: Path):
    """And everybody else plays on."""
    async with dial_lab(tmp_path, nats_server.url) as place:
        await place.server()
        client, _, server = await place.player()

        async def wrong(_: HostDial) -> HostDialReply:
            return HostDialReply(ok=False, reason=NO_PORT)

        place.on_dial = wrong
        assert (await place.refusal()).reason == f"the host: {NO_PORT}"

        client.say(WALK)
        await server.got(WALK)
        assert place.counts.bugs == 0


async def test_a_relay_without_sockets_says_so_and_everybody_plays_on(nats_server: EmbeddedServer, tmp_path: Path):
    resource = pytest.importorskip("resource")
    async with dial_lab(tmp_path, nats_server.url) as place:
        await place.server()
        port = await place.dialing.listen(0)
        client, _, server = await place.player()
        _, conn = await place.arrives()
        before = len(place.town.bridge.told)

        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        try:
            place.town.bridge.say(place.to_host(conn, address="127.0.0.1", port=port))
            said = await place.town.bridge.hears(Entered, before, conn=conn, ok=False)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

        assert said.reason == "Too many open files"
        client.say(WALK)
        await server.got(WALK)
        assert place.counts.bugs == 0


async def test_who_is_refused_and_does_not_leave_is_cut(nats_server: EmbeddedServer, tmp_path: Path):
    """TLS would wait half a minute for his last word, and nobody would count him."""
    async with dial_lab(tmp_path, nats_server.url) as place:
        hello = frame(DialOpen(host=HOST, key=place.link.key, ticket="made up", proof=b""))

        def refused() -> socket.socket:
            plain = socket.create_connection(("127.0.0.1", place.back.port), timeout=WAIT_S)
            over_tls = linking_context().wrap_socket(plain)
            over_tls.sendall(hello)
            answer = first(DIAL_ANSWERS, over_tls.recv(4_096), 4_096)
            assert answer is not None
            assert isinstance(answer[0], DialRefused)
            return over_tls

        def end_of(connection: socket.socket) -> None:
            raw = socket.socket(fileno=connection.detach())
            raw.settimeout(WAIT_S)
            try:
                while raw.recv(4_096):
                    pass
            except (ConnectionError, ssl.SSLError):
                pass
            finally:
                raw.close()

        stays = await asyncio.to_thread(refused)
        assert place.back._greeting.total() == 1, "he is counted as long as he is there"
        await asyncio.to_thread(end_of, stays)
        await place.town.news.until(lambda: place.back._greeting.total() == 0)


async def test_a_bus_that_was_away_is_not_held_against_hosts(
    nats_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(relay_standing, "BACK_OFF_MS", (60_000, 300_000))
    async with dial_lab(tmp_path, nats_server.url) as place:
        await place.server()
        bus, place.relay_bus._bus = place.relay_bus._bus, None
        wish(place, 2)
        await asyncio.sleep(5 * TICK_S)

        place.relay_bus._bus = bus
        await stand(place, 2)


async def test_an_agent_of_before_at_an_open_port_is_reached_there_still(nats_server: EmbeddedServer, tmp_path: Path):
    """It cannot read a dial without a map, and says nothing."""
    async with dial_lab(tmp_path, nats_server.url) as place:

        async def before(dial: HostDial) -> HostDialReply | None:
            return await place.dialing.answer(dial) if dial.map is not None else None

        place.on_dial = before
        await place.server()
        port = await place.dialing.listen(0)
        wish(place, 1, address="127.0.0.1", port=port)
        await place.town.news.until(lambda: [bool(dial.address) for dial in place.asked] == [False, True])
        wish(place, 0)
        await stand(place, 0)

        client, _, server = await place.player(address="127.0.0.1", port=port)
        client.say(WALK)
        await server.got(WALK)

        assert (place.dialing.let_in, place.dialing.dialled) == (1, 0)
