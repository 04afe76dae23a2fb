"""Who may come for a player, and to whom: tickets of dials. Relay, agent and nats-server are real."""

import asyncio
from pathlib import Path

import pytest

from libs.bus.embedded import EmbeddedServer
from libs.events import HostDial
from libs.link.dials import DialAccepted, DialRefused
from libs.link.frames import frame
from services.agent.link import AgentLink
from services.relay.back import GREETING_PER_ADDRESS
from tests.rathena.dial_lab import FIELD, HOST, dial_lab
from tests.rathena.relay_words import WALK

pytestmark = pytest.mark.nats


async def test_a_ticket_brings_one_player_once(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url, connect_timeout_ms=10_000) as place:
        dial = await place.ask()

        assert isinstance(await place.come(dial), DialAccepted)
        again = await place.come(dial)

        assert isinstance(again, DialRefused)
        await place.town.news.until(lambda: place.alerts)
        alert = place.alerts[0]
        assert (alert.about, alert.what, alert.detail) == (HOST, "dial_refused", "replayed: it was used before")
        assert place.counts.dials_refused == 1


@pytest.mark.parametrize("whose", ["key", "proof", "host", "signature", "purpose", "words"])
async def test_a_ticket_in_the_wrong_hands_is_refused_and_stays_good(nats_server: EmbeddedServer, tmp_path: Path, whose: str):
    async with dial_lab(tmp_path, nats_server.url, connect_timeout_ms=10_000) as place:
        dial = await place.ask()
        thief = AgentLink(HOST, lambda _: None)
        forged = dial.ticket[:-4] + ("AAAA" if dial.ticket[-4:] != "AAAA" else "BBBB")

        refused = {
            "key": lambda: place.come(dial, thief),
            "proof": lambda: place.come(dial, thief, key=place.link.key),
            "host": lambda: place.come(dial, host="your_pc"),
            "signature": lambda: place.come(dial, ticket=forged),
            "purpose": lambda: place.come(dial, ticket=""),
            "words": lambda: place.say(frame(DialRefused(why="hello"))),
        }[whose]

        assert not isinstance(await refused(), DialAccepted)
        assert isinstance(await place.come(dial), DialAccepted)
        if whose in ("key", "proof", "host"):
            await place.town.news.until(lambda: place.alerts)
            assert place.alerts[0].detail.startswith(whose)


async def test_strangers_cannot_keep_hosts_out(nats_server: EmbeddedServer, tmp_path: Path):
    """From one address no more than a few may hang about; beside them those who are waited for come in."""
    async with dial_lab(tmp_path, nats_server.url, connect_timeout_ms=10_000) as place:
        await place.server()
        idle = [await asyncio.open_connection("127.0.0.1", place.back.port) for _ in range(GREETING_PER_ADDRESS)]
        await place.town.news.until(lambda: place.back._greeting.total() == GREETING_PER_ADDRESS)

        reader, writer = await asyncio.open_connection("127.0.0.1", place.back.port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        client, _, server = await place.player()
        client.say(WALK)
        await server.got(WALK)

        await place.town.news.until(lambda: place.back._greeting.total() == 0), "they are cut"
        for each in (writer, *(one for _, one in idle)):
            each.close()


async def test_the_agent_speaks_to_the_relay_that_asked_alone(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url, connect_timeout_ms=5_000) as place:
        await place.server()
        dial = await place.ask()
        other = bytes(32).hex()

        reply = await place.dialing.answer(
            HostDial(
                host=HOST, relay=dial.relay, address="127.0.0.1", port=place.back.port,
                ticket=dial.ticket, map=FIELD, certificate=other,
            )
        )  # fmt: skip

        assert not reply.ok
        assert "its certificate is another" in reply.reason
        assert isinstance(await place.come(dial), DialAccepted), "the ticket was not said to it"
