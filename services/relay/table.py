"""Every client of a relay: who may come in, what a bridge that connects is told. Pure."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from libs.config import Relay
from libs.link.messages import (
    Arrived,
    Entered,
    Hold,
    Loaded,
    Message,
    Placed,
    Refuse,
    RelayHello,
    Serve,
    ServerLost,
)
from services.relay import wire
from services.relay.core import NOTHING, Session
from services.relay.effects import Effect
from services.relay.phase import PLACED, Phase

HELD_KEPT = 256
FRESH_MS = 500
"""From a player's 02eb until his server has all that it asks the char-server for: milliseconds, on a busy machine more."""


@dataclass(slots=True)
class Counts:
    """Since the start. switches: a client taken over from one server to the next. lost: servers that went away unasked.
    dialled: players whose host came for them; dials_failed: it did not; dials_refused: who came without being asked."""

    opened: int = 0
    refused_total: int = 0
    refused_address: int = 0
    arrived: int = 0
    entered: int = 0
    switches: int = 0
    lost: int = 0
    closed: int = 0
    dialled: int = 0
    dials_failed: int = 0
    dials_refused: int = 0
    bugs: int = 0
    bytes_to_clients: int = 0
    bytes_to_servers: int = 0


@dataclass(slots=True)
class Table:
    """sessions: by the relay's number of the connection; a number is never used twice. held_ms: how long each of the newest
    switches kept its client waiting."""

    settings: Relay
    counts: Counts = field(default_factory=Counts)
    sessions: dict[int, Session] = field(default_factory=dict)
    held_ms: deque[float] = field(default_factory=lambda: deque(maxlen=HELD_KEPT))
    _numbers: int = 0
    _households: Counter[str] = field(default_factory=Counter)
    _counted: dict[int, str] = field(default_factory=dict)

    def on_bridge_lost(self, now_ms: float) -> None:
        """Whom a server took in just before may be there by half only: see `Placed.fresh`."""
        for session in self.sessions.values():
            if now_ms - session.player.entered_ms < FRESH_MS:
                session.player.fresh = True

    def open(self, address: str | None, now_ms: float) -> Session:
        """address: None where a PROXY header will say it."""
        self._numbers += 1
        self.counts.opened += 1
        session = self.sessions[self._numbers] = Session(self._numbers, self.settings, address, now_ms)
        return session

    def admit(self, session: Session) -> Sequence[Effect]:
        """The limit of all: whoever is one too many is told so."""
        if len(self.sessions) <= self.settings.max_connections:
            return NOTHING
        self.counts.refused_total += 1
        return session.end("too many connections", wire.CODE_CROWDED)

    def count(self, session: Session, address: str) -> Sequence[Effect]:
        """The limit of an address. An address that is not known is not counted."""
        if not address:
            return NOTHING
        household = wire.household(address)
        self._counted[session.player.conn] = household
        self._households[household] += 1
        if self._households[household] <= self.settings.max_connections_per_address:
            return NOTHING
        self.counts.refused_address += 1
        return session.end("too many connections from one address", wire.CODE_ADDRESS)

    def close(self, session: Session) -> None:
        """Its connection is gone."""
        if self.sessions.pop(session.player.conn, None) is None:
            return
        self.counts.closed += 1
        if (household := self._counted.pop(session.player.conn, None)) is not None:
            self._households[household] -= 1
            if not self._households[household]:
                del self._households[household]

    def note(self, message: Message) -> None:
        """Counts what the bridge is told."""
        counts = self.counts
        if isinstance(message, Arrived):
            counts.arrived += 1
        elif isinstance(message, Entered):
            counts.entered += message.ok
        elif isinstance(message, Loaded):
            counts.switches += message.ms > 0
            if message.ms > 0:
                self.held_ms.append(round(message.ms, 1))
        elif isinstance(message, ServerLost):
            counts.lost += 1

    def hello(self) -> Iterator[Message]:
        """What is said first to a bridge: everybody who was ever placed; then who still waits for it."""
        stated = [said for session in self.sessions.values() if (said := _stated(session)) is not None]
        placed = [said for said in stated if isinstance(said, Placed)]
        settings = self.settings
        yield RelayHello(relay=settings.name, region=settings.region, players=placed, stands=bool(settings.hosts))
        yield from (said for said in stated if isinstance(said, Arrived))

    def status(self) -> dict[str, object]:
        """For /statusz."""
        phases = Counter(session.phase for session in self.sessions.values())
        counts = {name: getattr(self.counts, name) for name in Counts.__slots__}
        return {
            "connections": len(self.sessions),
            "held": phases[Phase.HELD] + phases[Phase.HOLDING] + phases[Phase.ENTERING],
            "placed": sum(phases[phase] for phase in PLACED),
            "held_ms": list(self.held_ms),
            **counts,
        }


def obey(session: Session, message: Message, now_ms: float) -> Sequence[Effect]:
    """What the bridge says about this client. An older switch, and whatever comes too late, is nobody's business any more."""
    if isinstance(message, Serve):
        return session.on_serve(message, now_ms)
    if isinstance(message, Hold):
        return session.on_hold(now_ms)
    return session.end("refused", message.code) if isinstance(message, Refuse) else NOTHING


def _stated(session: Session) -> Placed | Arrived | None:
    """None: it has said nothing yet, or is closed."""
    if session.phase in (Phase.FIRST, Phase.CLOSED):
        return None
    player = session.player
    return player.arrived() if player.serve is None else player.placed(served=session.phase in PLACED)
