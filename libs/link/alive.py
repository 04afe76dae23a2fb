"""TCP's own keepalive for a connection on which nothing is said for long (docs/adr/0025): the router on the way remembers it,
and when one end is gone it ends at the other."""

import contextlib
import socket
import sys
from typing import Any, Final

ALIVE_S: Final = 30
"""Routers forget a connection after minutes; the strictest, of mobile networks, after a good half."""
AGAIN_S: Final = 10
TIMES: Final = 3
"""Without an answer: dead, a minute after its last word."""


def keep_alive(connection: Any) -> None:
    """connection: a socket, or what a transport gives for one. What this machine cannot do is left."""
    with contextlib.suppress(OSError, AttributeError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        idle = "TCP_KEEPALIVE" if sys.platform == "darwin" else "TCP_KEEPIDLE"
        for name, value in ((idle, ALIVE_S), ("TCP_KEEPINTVL", AGAIN_S), ("TCP_KEEPCNT", TIMES)):
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
