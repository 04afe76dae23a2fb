"""The two ends of a host's link, each a process of its own: the agent's as it is, the bridge's with an echo behind it.

python -m bench.link_ends bridge PORT KEYS      takes links at 127.0.0.1:PORT; answers each 2b23 with 2b24, and no more
python -m bench.link_ends echo PORT             the same without a link
python -m bench.link_ends agent PORT KEYS FILE  links there, writes into FILE at which port a map-server finds its char-server
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

import uvloop

from libs.events import HostId, Link, MapName
from libs.link.keys import SIGNER, TAKER, fingerprint_of, signing_key, taking_context
from libs.link.tickets import LIFE_MS, Ticket, sign
from libs.link.tls import CERT_FILE
from libs.rathena.inter_link import Keepalive, KeepaliveAck
from libs.runtime.loop import notify_ready
from services.agent.link import AgentLink
from services.bridge.admission import Admission
from services.bridge.agents import Agents
from services.bridge.links import Links, listen

LOCAL: Final = "127.0.0.1"
HOST: Final = HostId("bench_host")


def now_ms() -> int:
    return int(time.time() * 1000)


def answering() -> Links:
    """What answers each 2b23."""
    ack = KeepaliveAck().pack()

    def on_packets(number: int, packets: list[bytes]) -> None:
        for packet in packets:
            if packet[0] | packet[1] << 8 == Keepalive.packet_id:
                links.send(number, ack)

    links = Links(lambda _: None, on_packets, lambda _: None)
    return links


async def echo(port: int) -> None:
    await listen(answering().protocol, f"{LOCAL}:{port}")
    await _until_ended()


async def bridge(port: int, keys: Path) -> None:
    links = answering()
    agents = Agents(
        links,
        Admission.read(keys / TAKER, None, now_ms()),
        on_host=lambda *_: None,
        on_doubt=lambda *_: None,
        on_refused=lambda *_: None,
        now_ms=now_ms,
    )
    await listen(agents.protocol, f"{LOCAL}:{port}", taking_context(keys / TAKER))
    await _until_ended()


async def agent(port: int, keys: Path, file: Path) -> None:
    link = AgentLink(HOST, lambda _: None)
    local_port = await link.open(MapName("bench"))
    ticket = Ticket(purpose="link", host=HOST, key=link.key, nonce=os.urandom(16), expires_ms=now_ms() + LIFE_MS)
    certificate = fingerprint_of(keys / TAKER / CERT_FILE).hex()
    link.offer(Link(address=LOCAL, port=port, ticket=sign(ticket, signing_key(keys / SIGNER)), certificate=certificate))
    running = asyncio.ensure_future(link.run())
    await asyncio.to_thread(file.write_text, str(local_port), encoding="ascii")
    await _until_ended()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def _until_ended() -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    notify_ready()
    await stopped.wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["echo", port]:
            uvloop.run(echo(int(port)))
        case ["bridge", port, keys]:
            uvloop.run(bridge(int(port), Path(keys)))
        case ["agent", port, keys, file]:
            uvloop.run(agent(int(port), Path(keys), Path(file)))
        case _:
            sys.exit(__doc__)
