"""An agent that dials relays for players of one map-server: python -m bench.dial_end URL PORT FILE

PORT: of the map-server. FILE: where the key of its process is written, for the bridge to say.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

import uvloop

from libs.bus.nats import connect
from libs.events import HostDial, HostId, MapName
from libs.runtime.service import notify_ready
from services.agent.dialing import Dialing, Limits
from services.agent.link import AgentLink

HOST: Final = HostId("bench_host")
MAP: Final = MapName("prontera")


class Door:
    """A `Doors`."""

    def __init__(self, port: int) -> None:
        self._port = port

    def port_of(self, map: MapName) -> int | None:  # noqa: A002 - the port's shape
        return self._port if map == MAP else None


async def run(url: str, port: int, file: Path) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    bus = await connect(url, name=HOST, connect_timeout_s=15.0)
    link = AgentLink(HOST, lambda _: None)
    dialing = Dialing(HOST, link, Door(port), Limits(players_max=10_000))
    await bus.answer(HostDial, dialing.answer, token=HOST)
    await asyncio.to_thread(file.write_text, link.key, encoding="ascii")
    notify_ready()
    await stopped.wait()
    await dialing.close()
    await bus.close()


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
