"""What the relay's tests say: packets of clients and servers, messages of a bridge; and a session with all it has done."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from libs.config import Relay
from libs.link.messages import Message, Serve
from libs.rathena.client import (
    AcceptEnter,
    AccountIdAck,
    DisconnectReason,
    Enter,
    InventoryExpansion,
    MapMove,
    ServerMove,
    Tick,
    UnitVanish,
    Walk,
)
from libs.rathena.values import Cell, gat
from services.relay.core import Session
from services.relay.effects import Dial, Effect, EndClient, From, HangUp, Tell, ToClient, ToServer
from services.relay.table import obey

ACCOUNT, CHAR, LOGIN_ID1, LOGIN_ID2 = 2_000_001, 150_001, 0x11223344, 0x55667788
ENTER = Enter(account_id=ACCOUNT, char_id=CHAR, login_id1=LOGIN_ID1, sex=1).pack()
SHOWN = Enter(account_id=ACCOUNT, char_id=CHAR, login_id1=777, sex=1).pack()
"""With the ids a bridge made for a server."""
LOADED = b"\x7d\x00"
TICK = Tick(client_tick=5).pack()
WALK = Walk(dest=Cell(50, 60)).pack()
M = TypeVar("M", bound=Message)


def welcome(x: int = 100, y: int = 200, tick: int = 1_000) -> bytes:
    ack, bag = AccountIdAck(account_id=ACCOUNT), InventoryExpansion()
    return ack.pack() + bag.pack() + AcceptEnter(server_tick=tick, pos=Cell(x, y)).pack()


def seen(number: int) -> bytes:
    """Any packet of a server, known again by its number."""
    return UnitVanish(id=number, type=0).pack()


def map_move(name: str, x: int, y: int) -> bytes:
    return MapMove(map=gat(name), x=x, y=y).pack()


def server_move(name: str, x: int, y: int) -> bytes:
    return ServerMove(map=gat(name), x=x, y=y, ip=b"\x7f\0\0\1", port=5120).pack()


def dismissed(code: int) -> bytes:
    return DisconnectReason(code=code).pack()


def serve(switch: int, conn: int = 1, **more: Any) -> Serve:
    given: dict[str, Any] = {
        "server": "core",
        "tenure": 0,
        "address": "192.0.2.1",
        "port": 5121,
        "enter": SHOWN,
        "login_id1": LOGIN_ID1,
        "login_id2": LOGIN_ID2,
        "resume": switch > 1,
        "map": "prontera",
        "x": 1,
        "y": 2,
    }
    return Serve(conn=conn, switch=switch, **(given | more))


@dataclass
class Play:
    """One session and what it asked for so far. now_ms is moved by the test."""

    settings: Relay = field(default_factory=Relay)
    address: str | None = "192.0.2.7"
    now_ms: float = 0.0
    client: bytes = b""
    server: bytes = b""
    told: list[Message] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.session = Session(1, self.settings, self.address, self.now_ms)

    def do(self, effects: Sequence[Effect]) -> Sequence[Effect]:
        for effect in effects:
            if isinstance(effect, ToClient):
                self.client += effect.data
            elif isinstance(effect, ToServer):
                self.server += effect.data
            elif isinstance(effect, Tell):
                self.told.append(effect.message)
            else:
                assert isinstance(effect, Dial | HangUp | EndClient | From)
                self.effects.append(effect)
        return effects

    def from_client(self, data: bytes) -> None:
        self.do(self.session.on_client(data, self.now_ms))

    def from_server(self, data: bytes, switch: int | None = None) -> None:
        self.do(self.session.on_server(self.session.player.switch if switch is None else switch, data, self.now_ms))

    def from_bridge(self, message: Message) -> None:
        self.do(obey(self.session, message, self.now_ms))

    def server_lost(self, switch: int | None = None) -> None:
        switch = self.session.player.switch if switch is None else switch
        self.do(self.session.on_server_lost(switch, "it closed the connection", self.now_ms))

    def after(self, ms: float) -> None:
        self.now_ms += ms
        self.do(self.session.on_tick(self.now_ms))

    def taken(self) -> tuple[bytes, bytes, list[Message], list[Effect]]:
        """What happened since the last time: to the client, to the server, to the bridge, the rest."""
        taken = self.client, self.server, self.told, self.effects
        self.client, self.server, self.told, self.effects = b"", b"", [], []
        return taken

    def said(self, kind: type[M]) -> list[M]:
        return [message for message in self.told if isinstance(message, kind)]

    def open(self, switch: int = 1, **more: Any) -> None:
        """Placed, connected, 0436 said."""
        self.from_bridge(serve(switch, **more))
        self.do(self.session.on_server_open(switch))

    def enter(self, **more: Any) -> "Play":
        """In the game on its first server, map loaded."""
        self.from_client(ENTER)
        self.open(1, **more)
        self.from_server(welcome())
        self.from_client(LOADED)
        self.taken()
        return self

    def lose(self) -> "Play":
        self.server_lost()
        self.taken()
        return self
