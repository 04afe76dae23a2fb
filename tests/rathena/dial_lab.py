"""A relay and a host's agent on loopback, each with its own connection to a real nats-server; around them what `relay_lab` has.

`async with dial_lab(tmp_path, nats_server.url) as place: client, conn, server = await place.player()`
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from libs.bus.nats import NatsBus, connect
from libs.config import Nats, Relay
from libs.events import HostDial, HostDialReply, HostId, MapName, OpsAlert
from libs.link.dials import DIAL_ANSWERS, DialAccepted, DialOpen, DialRefused
from libs.link.frames import first, frame
from libs.link.keys import linking_context
from libs.link.messages import Arrived, Entered, Serve
from libs.runtime.clock import Clock
from services.agent.dialing import Dialing, Limits
from services.agent.link import AgentLink
from services.relay.alerts import Alerts
from services.relay.back import DialBack
from services.relay.onbus import OnBus
from services.relay.table import Counts
from tests.rathena.relay_lab import End, Lab, Server, lab
from tests.rathena.relay_words import serve, welcome

HOST = HostId("my_pc")
FIELD = MapName("moc_fild01")
WAIT_S = 10.0
NO_LIMITS = Limits()


@dataclass
class DialLab:
    """town: the relay's side. doors: the map-servers that are ready on the host. asked: every host.dial the agent got. on_dial:
    answers in the agent's place, if it is set."""

    town: Lab
    back: DialBack
    relay_bus: OnBus
    bus: NatsBus
    link: AgentLink
    dialing: Dialing
    doors: dict[MapName, int]
    asked: list[HostDial] = field(default_factory=list)
    alerts: list[OpsAlert] = field(default_factory=list)
    on_dial: Any = None

    @property
    def counts(self) -> Counts:
        return self.town.counts

    async def server(self, answer: bytes = welcome()) -> Server:
        """A map-server of the host, for FIELD."""
        server = await self.town.server(answer)
        self.doors[FIELD] = server.port
        return server

    def to_host(self, conn: int, switch: int = 1, **more: Any) -> Serve:
        """What the bridge says of a host without an address."""
        told = {"server": f"{HOST}/{FIELD}", "key": self.link.key, "map": str(FIELD), "address": "", "port": 0}
        return serve(switch, conn, **(told | more))

    async def arrives(self, **more: Any) -> tuple[End, int]:
        """A client that waits to be placed, and its number."""
        before = len(self.town.bridge.told)
        client = await self.town.client(**more)
        return client, (await self.town.bridge.hears(Arrived, before)).conn

    async def refusal(self) -> Entered:
        """Of a player who is to be brought to the host."""
        before = len(self.town.bridge.told)
        _, conn = await self.arrives()
        self.town.bridge.say(self.to_host(conn))
        return await self.town.bridge.hears(Entered, before, conn=conn, ok=False)

    async def player(self, **more: Any) -> tuple[End, int, End]:
        """In the game on the host: his client, its number, and what his map-server sees."""
        server = self.town.servers[-1]
        before = len(server.ends)
        client, conn = await self.arrives()
        self.town.bridge.say(self.to_host(conn, **more))
        await client.got(welcome()[10:])
        return client, conn, server.ends[before]

    async def answer(self, dial: HostDial) -> HostDialReply | None:
        self.asked.append(dial)
        reply: HostDialReply | None = await (self.on_dial or self.dialing.answer)(dial)
        return reply

    async def ask(self) -> HostDial:
        """What the relay asks for a player, whom nobody brings."""

        async def silent(_: HostDial) -> None:
            return None

        self.on_dial = silent
        _, conn = await self.arrives()
        self.town.bridge.say(self.to_host(conn))
        return (await self.town.news.until(lambda: self.asked[-1:]))[0]  # type: ignore[no-any-return]

    async def come(self, dial: HostDial, link: AgentLink | None = None, **words: Any) -> DialAccepted | DialRefused | None:
        """Somebody dials the relay with this ticket; what he is told. None: the connection just ends."""
        link = link or self.link
        proof = link.prove(dial.ticket, bytes.fromhex(dial.certificate))
        said = {"host": HOST, "key": link.key, "ticket": dial.ticket, "proof": proof} | words
        return await self.say(frame(DialOpen(**said)))

    async def say(self, data: bytes) -> DialAccepted | DialRefused | None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.back.port, ssl=linking_context(), server_hostname="")
        try:
            writer.write(data)
            async with asyncio.timeout(WAIT_S):
                head = await reader.readexactly(4)
                found = first(DIAL_ANSWERS, head + await reader.readexactly(int.from_bytes(head, "big")), 4_096)
            assert found is not None
            return found[0]
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        finally:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def dial_lab(
    directory: Path, url: str, *, limits: Limits = NO_LIMITS, alerts: bool = True, **settings: Any
) -> AsyncIterator[DialLab]:
    """settings: of the relay."""
    counts, clock, relay_bus = Counts(), Clock(), OnBus(Nats(url=url))
    ours = Relay().model_copy(update={"name": "relay_eu", "hosts": "127.0.0.1:0"} | settings)
    told = Alerts(relay_bus, ours.name, counts, clock, told=alerts)
    back = DialBack(ours, relay_bus.ask, told.refused, clock.now_ms, lambda: relay_bus.connected)
    back.listen()
    bus = await connect(url, name=HOST, connect_timeout_s=15.0)
    link = AgentLink(HOST, lambda _: None)
    doors: dict[MapName, int] = {}

    class Known:
        def port_of(self, map: MapName) -> int | None:  # noqa: A002 - `Doors`
            return doors.get(map)

    dialing = Dialing(HOST, link, Known(), limits)
    on_bus = asyncio.ensure_future(relay_bus.run())
    async with lab(directory, back=back, counts=counts, **settings) as town:
        place = DialLab(town, back, relay_bus, bus, link, dialing, doors)
        subscribed = await bus.answer(HostDial, place.answer, token=HOST)
        heard = await bus.hear(OpsAlert, place.alerts.append)
        await town.news.until(lambda: relay_bus.connected)
        try:
            yield place
        finally:
            await subscribed.close()
            await heard.close()
            await dialing.close()
            on_bus.cancel()
            await asyncio.gather(on_bus, return_exceptions=True)
            await bus.close()
