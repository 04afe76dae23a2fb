"""Both ends of hosts' links over real sockets: the bridge's, with an echo behind it, and agents'. For tests."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from libs.events import HostId, Link
from libs.link.keys import SIGNER, TAKER, fingerprint_of, link_keys, signing_key, taking_context
from libs.link.tickets import LIFE_MS, NONCE_BYTES, Ticket, sign
from libs.link.tls import CERT_FILE
from services.agent.link import AgentLink
from services.agent.link_events import LinkEvent
from services.bridge.admission import Admission
from services.bridge.agents import Agents
from services.bridge.links import Links, listen


def now_ms() -> int:
    return int(time.time() * 1000)


@dataclass
class BridgeEnd:
    """What the bridge's core would be told. hosts: number -> (host, map, ip, port, key). packets: those of each number."""

    directory: Path
    store: Path | None = None
    hosts: dict[int, tuple[str, str, bytes, int, str]] = field(default_factory=dict)
    packets: dict[int, list[bytes]] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)
    doubts: list[tuple[int, bool]] = field(default_factory=list)
    refused: list[tuple[str | None, str]] = field(default_factory=list)
    port: int = 0

    @property
    def linked(self) -> list[int]:
        return [number for number in self.hosts if number not in self.gone]

    async def start(self) -> None:
        self.links = Links(lambda _: None, self._on_packets, self.gone.append)
        self.agents = Agents(
            self.links,
            Admission.read(self.directory / TAKER, self.store, now_ms()),
            on_host=lambda number, *who: self.hosts.__setitem__(number, who),
            on_doubt=lambda number, doubtful: self.doubts.append((number, doubtful)),
            on_refused=lambda host, why, _: self.refused.append((host, why)),
            now_ms=now_ms,
        )
        context = taking_context(self.directory / TAKER)
        self._server = await listen(self.agents.protocol, f"127.0.0.1:{self.port}", context)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.close()
        self.agents.close()

    def said(self, number: int) -> bytes:
        return b"".join(self.packets.get(number, ()))

    def _on_packets(self, number: int, packets: list[bytes]) -> None:
        self.packets.setdefault(number, []).extend(packets)

    def offer(self, key: str, host: str = "my_pc", **values: object) -> Link:
        """What the registry would say."""
        fields = {"purpose": "link", "host": host, "key": key, "nonce": random.randbytes(NONCE_BYTES)}
        ticket = Ticket(**(fields | {"expires_ms": now_ms() + LIFE_MS} | values))  # type: ignore[arg-type]
        certificate = fingerprint_of(self.directory / TAKER / CERT_FILE).hex()
        text = sign(ticket, signing_key(self.directory / SIGNER))
        return Link(address="127.0.0.1", port=self.port, ticket=text, certificate=certificate)


@asynccontextmanager
async def bridge_end(tmp_path: Path, *, store: bool = False) -> AsyncIterator[BridgeEnd]:
    link_keys(tmp_path)
    end = BridgeEnd(tmp_path, tmp_path / "store" if store else None)
    await end.start()
    try:
        yield end
    finally:
        end.stop()


@asynccontextmanager
async def agent_end(host: str = "my_pc", idle_s: float = 60.0) -> AsyncIterator[tuple[AgentLink, list[LinkEvent]]]:
    events: list[LinkEvent] = []
    link = AgentLink(HostId(host), events.append, rng=random.Random(1), idle_s=idle_s)
    running = asyncio.ensure_future(link.run())
    try:
        yield link, events
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def map_server(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
