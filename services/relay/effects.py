"""What a client's session asks its shell to do. Decide, then do: the session knows no socket.

msgspec structs, since two of them are made for every chunk of every player: seven times cheaper than tuples with names.
"""

import msgspec

from libs.link.messages import Message


class ToClient(msgspec.Struct, frozen=True, gc=False):
    """Whole packets, always: another server's may follow."""

    data: bytes | memoryview


class ToServer(msgspec.Struct, frozen=True, gc=False):
    data: bytes | memoryview


class Dial(msgspec.Struct, frozen=True, gc=False):
    """Connect to a server; answered by `on_server_open` or `on_server_lost` of this switch. server: its name. key: of the agent
    process that has to bring the player there (back.py), and then address may be empty; empty: the server is ours. enter: what
    he says first; where it goes along with the connection (reserve.py) `on_server_open` is not called."""

    switch: int
    server: str
    address: str
    port: int
    key: str = ""
    enter: bytes = b""


class HangUp(msgspec.Struct, frozen=True, gc=False):
    """Let go of the server, or of the attempt to reach it. orderly: what was sent goes out, then FIN, and the server's own FIN
    is awaited; `on_server_lost` tells of the end either way. Nothing more of it is wanted."""

    orderly: bool


class EndClient(msgspec.Struct, frozen=True, gc=False):
    """Close the client's connection when everything is out. reason: counted and logged; it names nobody."""

    reason: str


class From(msgspec.Struct, frozen=True, gc=False):
    """The client's own address, as its connection or a PROXY header says: it counts against the limit of an address."""

    address: str


class Tell(msgspec.Struct, frozen=True):
    """A message to the bridge; dropped while there is none, the next hello says it all."""

    message: Message


Effect = ToClient | ToServer | Dial | HangUp | EndClient | From | Tell
