"""Links of hosts: first a frame that says whose it is and for which map, then the inter-server stream of its map-server.

In: bytes. Out: an authenticated link, then packets as from any map-server. Without a ticket nobody gets further; tickets come
with the agent's own link, until then hosts link in labs only (`kafra up --open`).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from libs.link.frames import BadFrame, first
from libs.link.messages import LinkHello
from libs.rathena.values import ip_bytes
from services.bridge.links import Links, NodeLink

HELLO_TIMEOUT_S: Final = 5.0
HELLO_BYTES_MAX: Final = 4096
_LOG = logging.getLogger(__name__)


class HostLinks:
    """on_host(number, host, map, ip, port): a host's link for one map. open_: no ticket is asked for."""

    def __init__(self, links: Links, on_host: Callable[[int, str, str, bytes, int], None], *, open_: bool) -> None:
        self.links, self.on_host = links, on_host
        self.possible = open_

    def protocol(self) -> "HostLink":
        return HostLink(self, self.links.next_number())


class HostLink(NodeLink):
    """As any map-server's link, once it has said whose it is."""

    def __init__(self, hosts: HostLinks, number: int) -> None:
        super().__init__(number, hosts.links)
        self._hosts = hosts
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
            found = first(LinkHello, self._begun, HELLO_BYTES_MAX)
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
        self._hosts.on_host(self.number, hello.host, hello.map, ip, hello.port)
        if rest:
            super().data_received(rest)
