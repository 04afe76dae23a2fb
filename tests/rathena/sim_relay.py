"""The relay and its clients in the bridge's simulation, as models: services/relay in few words, no bytes of clients."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libs.link.messages import (
    Arrived,
    Closed,
    Entered,
    Held,
    Hold,
    Leaving,
    Loaded,
    Message,
    Placed,
    Refuse,
    RelayHello,
    RelaySays,
    Serve,
    ServerLost,
    Walked,
)
from libs.rathena.client import Enter
from tests.rathena.twin.people import person

if TYPE_CHECKING:
    from tests.rathena.sim_bridge import World
    from tests.rathena.sim_models import ModelServer

CONNECT_MS = 1_000
LINGER_MS = 1_000
LOAD_END_MS = 200


@dataclass(eq=False)
class Client:
    """A player's client at the relay. server: the process it is connected to; placed: it said 02eb. conn 0: not connected."""

    number: int
    conn: int = 0
    login_id1: int = 0
    switch: int = -1
    serve: Serve | None = None
    server: "ModelServer | None" = None
    placed: bool = False
    holding: bool = False
    where: tuple[str, int, int] = ("", 0, 0)
    refused: int = 0

    @property
    def account_id(self) -> int:
        return person(self.number).account_id

    @property
    def char_id(self) -> int:
        return person(self.number).char_id

    def place(self) -> dict[str, object]:
        return dict(zip(("map", "x", "y"), self.where, strict=True))


@dataclass
class ModelRelay:
    """As services/relay decides, in few words. peer: the bridge's number of the connection, 0: there is none."""

    world: "World"
    clients: list[Client] = field(default_factory=list)
    peer: int = 0
    conns: int = 0

    def hello(self) -> list[RelaySays]:
        placed = [
            Placed(
                conn=client.conn,
                switch=client.switch,
                account_id=client.account_id,
                char_id=client.char_id,
                login_id1=client.serve.login_id1,
                login_id2=client.serve.login_id2,
                server=client.serve.server if client.placed and client.server else None,
                tenure=client.serve.tenure,
                **client.place(),  # type: ignore[arg-type]
            )
            for client in self.clients
            if client.conn and client.serve is not None
        ]
        arrived = [self._arrived(client) for client in self.clients if client.conn and client.serve is None]
        return [RelayHello(relay="relay", region="", players=placed), *arrived]

    def connect(self, client: Client) -> None:
        """A client logs in and says 0436."""
        client.login_id1, _ = self.world.char.login(client.number)
        self.conns += 1
        client.conn, client.switch, client.serve, client.server = self.conns, -1, None, None
        client.placed = client.holding = False
        self.world.to_bridge_from_relay(self._arrived(client))

    def leave(self, client: Client) -> None:
        """Its window is closed."""
        self._end(client)

    def hear(self, message: Message) -> None:
        client = next((client for client in self.clients if client.conn == getattr(message, "conn", -1)), None)
        if client is None or not client.conn:
            return
        if isinstance(message, Refuse):
            client.refused += 1
            self._end(client)
        elif isinstance(message, Hold):
            self._hold(client)
        elif isinstance(message, Serve) and message.switch > client.switch:
            self._serve(client, message)

    def _serve(self, client: Client, serve: Serve) -> None:
        self._hang_up(client)
        client.serve, client.switch, client.holding = serve, serve.switch, False
        if not client.where[0] or not serve.resume:
            client.where = (serve.map, serve.x, serve.y)
        server = self.world.at(serve.address, serve.port)
        if server is None:
            self._say(client, Entered(conn=client.conn, switch=serve.switch, ok=False))
            return
        client.server = server
        said = Enter.unpack(serve.enter)
        self.world.to_server(server, "enter", client, said, serve.switch)
        self.world.later(CONNECT_MS, self._too_late, client, server, serve.switch)

    def _too_late(self, client: Client, server: "ModelServer", switch: int) -> None:
        if client.server is server and client.switch == switch and not client.placed:
            self._hang_up(client)
            self._say(client, Entered(conn=client.conn, switch=switch, ok=False))

    def _hold(self, client: Client) -> None:
        if client.serve is None or client.holding:
            return
        server, placed = client.server, client.placed
        self._hang_up(client)
        if server is None or not placed:
            self._held(client, client.switch)
            return
        client.holding = True
        self.world.later(LINGER_MS if server.frozen else 2, self._held, client, client.switch)

    def _held(self, client: Client, switch: int) -> None:
        if client.conn and client.switch == switch and client.server is None:
            client.holding = False
            self._say(client, Held(conn=client.conn, switch=switch, **client.place()))  # type: ignore[arg-type]

    def _hang_up(self, client: Client) -> None:
        server, client.server, client.placed = client.server, None, False
        if server is not None:
            self.world.to_server(server, "client_closed", client.account_id, client.switch)

    def _end(self, client: Client) -> None:
        self._hang_up(client)
        self._say(client, Closed(conn=client.conn))
        client.conn = 0

    # -- what servers say to clients -----------------------------------------------------------------------------------

    def accepted(self, client: Client, server: "ModelServer", switch: int) -> None:
        self.world.from_server(server, self._accepted, client, server, switch)

    def _accepted(self, client: Client, server: "ModelServer", switch: int) -> None:
        if self._mine(client, server, switch) and client.serve is not None:
            client.placed = True
            client.where = (client.serve.map, client.serve.x, client.serve.y)
            self._say(client, Entered(conn=client.conn, switch=switch, ok=True))
            self.world.later(self.world.random.randint(1, LOAD_END_MS), self._loaded, client, server, switch)

    def _loaded(self, client: Client, server: "ModelServer", switch: int) -> None:
        if self._mine(client, server, switch):
            self._say(client, Loaded(conn=client.conn, switch=switch, **client.place()))  # type: ignore[arg-type]

    def walked(self, client: Client, server: "ModelServer", switch: int, where: tuple[str, int, int]) -> None:
        self.world.from_server(server, self._walked, client, server, switch, where)

    def _walked(self, client: Client, server: "ModelServer", switch: int, where: tuple[str, int, int]) -> None:
        if self._mine(client, server, switch):
            client.where = where
            self._say(client, Walked(conn=client.conn, **client.place()))  # type: ignore[arg-type]
            self.world.later(self.world.random.randint(1, LOAD_END_MS), self._loaded, client, server, switch)

    def sent_on(self, client: Client, server: "ModelServer", switch: int, where: tuple[str, int, int]) -> None:
        self.world.from_server(server, self._sent_on, client, server, switch, where)

    def _sent_on(self, client: Client, server: "ModelServer", switch: int, where: tuple[str, int, int]) -> None:
        if self._mine(client, server, switch):
            client.where = where
            self._hang_up(client)
            self._say(client, Leaving(conn=client.conn, **client.place()))  # type: ignore[arg-type]

    def server_closed(self, client: Client, server: "ModelServer", switch: int) -> None:
        self.world.from_server(server, self.lost, client, server, switch)

    def dismissed(self, client: Client, server: "ModelServer", switch: int) -> None:
        """0081 of his own: passed on, the client closes."""
        self.world.from_server(server, self._dismissed, client, server, switch)

    def _dismissed(self, client: Client, server: "ModelServer", switch: int) -> None:
        if self._mine(client, server, switch):
            client.refused += 1
            self._end(client)

    def lost(self, client: Client, server: "ModelServer", switch: int) -> None:
        if not self._mine(client, server, switch):
            return
        placed = client.placed
        client.server, client.placed = None, False
        if placed:
            self._say(client, ServerLost(conn=client.conn, switch=switch, **client.place()))  # type: ignore[arg-type]
        else:
            self._say(client, Entered(conn=client.conn, switch=switch, ok=False))

    def _mine(self, client: Client, server: "ModelServer", switch: int) -> bool:
        return client.conn != 0 and client.server is server and client.switch == switch

    def _say(self, client: Client, message: RelaySays) -> None:
        if client.conn:
            self.world.to_bridge_from_relay(message)

    def _arrived(self, client: Client) -> Arrived:
        ids = {"account_id": client.account_id, "char_id": client.char_id, "login_id1": client.login_id1}
        return Arrived(conn=client.conn, **ids, sex=1, client_ip=bytes(4))
