"""The NATS server: core messages, requests, the log and its followers, one lease. What it says goes through `Link`s.

In: what clients send, on arrival. Out: deliveries to them. The log is `libs.bus.memory_log`, the same that stands behind the
in-memory bus and is held to the real server's behaviour by tests/contract.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32

from libs.bus.memory_log import MemoryLog
from libs.events import Event, Fact, Reply, Stream, declaration_of
from libs.hosting.effects import Append, Committed, Outcome
from tests.sim.clock import MS, SECOND, Clock
from tests.sim.network import Link, Network

NETWORKS = 8
"""Where hosts come from."""


class Client(Protocol):
    """A process as the server knows it. Each `receive_` runs at the client's end."""

    name: str
    link: Link

    def receive(self, event: Event) -> None: ...
    def receive_request(self, request: Event, reply: Callable[[Reply | None], None]) -> None: ...
    def receive_fact(self, fact: Fact) -> None: ...


@dataclass(frozen=True, slots=True)
class Connection:
    """As libs.bus.port has it, of a server that asks nobody who he is."""

    connected: bool
    name: str
    id: int
    at_ms: int
    address: str = ""
    user: str = ""
    server: str = "sim"


class Watcher(Client, Protocol):
    """It is told of connections, too."""

    def receive_connection(self, connection: Connection) -> None: ...


OnAppend = Callable[[Fact, str, str], None]
"""A stored fact, its Msg-Id, and the name of the client that wrote it."""


class Server:
    """on_append: told of every stored message, before anybody else is."""

    def __init__(self, clock: Clock, network: Network) -> None:
        self.log = MemoryLog()
        self.on_append: OnAppend = lambda fact, msg_id, by: None
        self.on_lost_word: Callable[[Client, Event], None] = lambda client, event: None
        self._clock, self._network = clock, network
        self._heard: dict[tuple[str, str], list[Client]] = {}
        self._followers: dict[Stream, list[Client]] = {stream: [] for stream in Stream}
        self._watching: list[Watcher] = []
        self._numbers: dict[str, int] = {}
        self._connections = 0
        self.lease_seq = 0
        self.lease_holder = ""

    def subscribe(self, client: Client, event_type: type[Event], token: str = "*") -> None:
        clients = self._heard.setdefault((event_type.declaration.name, token), [])
        if client not in clients:
            clients.append(client)

    def watch(self, client: Watcher) -> None:
        """It is told whose connection comes and ends, from now on."""
        if client not in self._watching:
            self._watching.append(client)

    def came(self, client: Client) -> None:
        """A host's connection: those of services concern nobody."""
        self._connections += 1
        self._numbers[client.name] = self._connections
        address = f"198.18.{crc32(client.name.encode()) % NETWORKS}.1"
        self._tell(Connection(True, client.name, self._connections, self._clock.now_ms, address))

    def _ended(self, name: str) -> None:
        """Mostly noticed at once; now and then only when a ping gets no answer. A server that ends itself says nothing."""
        number = self._numbers.pop(name, 0)
        if number and self._clock.now_us >= self._network.server_back_us:
            rng = self._network.rng
            delay_us = rng.randint(1 * MS, 10 * MS) if rng.random() < 0.9 else rng.randint(1 * MS, 4 * SECOND)
            self._clock.after(delay_us, self._tell, Connection(False, name, number, self._clock.now_ms))

    def _tell(self, connection: Connection) -> None:
        for client in self._watching:
            client.link.send("core", client.receive_connection, connection)

    def forget(self, client: Client) -> None:
        """Its connection ended, and with it all it listened to."""
        self._ended(client.name)
        self._watching = [each for each in self._watching if each is not client]
        for clients in (*self._heard.values(), *self._followers.values()):
            if client in clients:
                clients.remove(client)

    def publish(self, event: Event) -> None:
        """A core message: to whoever is connected now, at most once."""
        for client in self._listeners(event):
            if self._network.loses(self._network.weather.loss):
                self.on_lost_word(client, event)
            else:
                client.link.send("core", client.receive, event)

    def request(self, client: Client, request: Event, on_reply: Callable[[Reply | None], None]) -> None:
        """on_reply runs at the asking client; with None at once where nobody listens (no responders)."""
        listeners = list(self._listeners(request))
        if not listeners:
            client.link.send("core", on_reply, None)
            return
        asked = listeners[0]

        def reply(answer: Reply | None) -> None:
            if answer is not None and not self._network.loses(self._network.weather.loss):
                asked.link.send("up", lambda: client.link.send("core", on_reply, answer))

        if not self._network.loses(self._network.weather.loss):
            asked.link.send("core", asked.receive_request, request, reply)

    def probe(self, client: Client, on_answer: Callable[[], None]) -> None:
        """Answered behind every core message that was on its way to the client."""
        client.link.send("core", on_answer)

    def append(self, client: Client, write: Append, msg_id: str, on_answer: Callable[[Outcome], None]) -> None:
        stream = declaration_of(write.event).stream
        assert stream is not None
        before = self.log.last_seq(stream)
        outcome = self.log.append(write, msg_id=msg_id, now_ms=self._clock.now_ms)
        if isinstance(outcome, Committed) and outcome.seq == self.log.last_seq(stream) != before:
            kept = next(self.log.read(stream, outcome.seq, outcome.seq))
            self.on_append(kept.fact, msg_id, client.name)
            for follower in self._followers[stream]:
                self._push(follower, kept.fact)
        if not self._network.loses(self._network.weather.append_loss):
            client.link.send("core", on_answer, outcome)

    def follow(self, client: Client, stream: Stream, after: int | None, on_target: Callable[[int], None]) -> None:
        """From behind `after`; None: from the last message of each subject. on_target: at which sequence it has caught up."""
        kept = self.log.last_per_subject(stream) if after is None else self.log.read(stream, after + 1)
        client.link.send(f"follow {stream}", on_target, self.log.last_seq(stream))
        for message in kept:
            self._push(client, message.fact)
        if client not in self._followers[stream]:
            self._followers[stream].append(client)

    def lease_look(self, client: Client, on_answer: Callable[[int, str], None]) -> None:
        client.link.send("core", on_answer, self.lease_seq, self.lease_holder)

    def lease_write(self, client: Client, holder: str, expected: int, on_answer: Callable[[int], None]) -> None:
        """Compare-and-set; answers the new sequence, or 0 for refused."""
        seq = 0
        if expected == self.lease_seq:
            self.lease_seq += 1
            self.lease_holder = holder
            seq = self.lease_seq
        client.link.send("core", on_answer, seq)

    def _push(self, follower: Client, fact: Fact) -> None:
        follower.link.send(f"follow {fact.stream}", follower.receive_fact, fact, extra_us=self._network.lag_us())

    def _listeners(self, event: Event) -> Iterable[Client]:
        declared = declaration_of(event)
        token = getattr(event, declared.token) if declared.token else ""
        yield from self._heard.get((declared.name, "*"), ())
        yield from self._heard.get((declared.name, token), ())
