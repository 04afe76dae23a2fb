"""Hosts' map-servers in labs (`KAFRA_BRIDGE_OPEN`, no keys): first a frame that says whose it is and for which map, then its
stream, on a plain connection of its own. Loopback only; elsewhere hosts come through their agents' links (sessions.py).
"""

import asyncio
from collections.abc import Callable
from typing import Final

from libs.link.frames import BadFrame, first
from libs.link.messages import GREETING_BYTES_MAX, LAB_GREETS
from libs.rathena.values import ip_bytes
from services.bridge.links import Links, NodeLink

HELLO_TIMEOUT_S: Final = 5.0
OnHost = Callable[[int, str, str, bytes, int, str], None]
"""(number, host, map, ip, port, key): a host's link for one map. key: of its agent process, empty in labs."""


class LabLinks:
    def __init__(self, links: Links, on_host: OnHost) -> None:
        self.links, self.on_host = links, on_host

    def protocol(self) -> "LabLink":
        return LabLink(self, self.links.next_number())


class LabLink(NodeLink):
    """As any map-server's link, once it has said whose it is."""

    def __init__(self, labs: LabLinks, number: int) -> None:
        super().__init__(number, labs.links)
        self._labs = labs
        self._begun: bytes | None = b""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(HELLO_TIMEOUT_S, self.end, "it does not say who it is")

    def data_received(self, data: bytes) -> None:
        if self._begun is None:
            super().data_received(data)
            return
        self._begun += data
        try:
            found = first(LAB_GREETS, self._begun, GREETING_BYTES_MAX)
            if found is None:
                return
            hello, rest = found
            ip = ip_bytes(hello.address)
        except (BadFrame, ValueError, OverflowError) as error:
            self.end(str(error))
            return
        self._begun = None
        if self._timer is not None:
            self._timer.cancel()
        self._labs.on_host(self.number, hello.host, hello.map, ip, hello.port, "")
        if rest:
            super().data_received(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
