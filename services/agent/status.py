"""What an agent tells its player: what is served, for whom, at what cost, how good it is, what is wrong. Pure.

In: `Parts`, as they are now. Out: a `Status`, which is also the JSON of `kafra agent status --json` and of the page. Called by
seen.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from libs.events import HostOrder
from services.agent.core import Measured
from services.agent.guests import Guests
from services.agent.pausing import Pause
from services.agent.samples import SAMPLE_S, Sample
from services.agent.score import Term, terms_of, unmet

if TYPE_CHECKING:
    from services.agent.maps.servers import Status as MapStatus

State = Literal["serving", "ready", "paused", "leaving", "unable", "unfit", "unheard", "not connected"]
WORDS: Final[dict[State, str]] = {
    "serving": "serves maps",
    "ready": "is ready, and has no map now",
    "paused": "is paused",
    "leaving": "is paused; its last maps are being taken",
    "unable": "is connected, and can serve no map",
    "unfit": "is connected, and gets no map",
    "unheard": "is connected; the server has said nothing yet",
    "not connected": "has no connection to the server",
}
NO_BUNDLE: Final = "none, and without one no map is served: bundle_url and bundle_key in agent.toml"
FINDINGS: Final = ("unable", "unfit", "unheard", "not connected")


class MapRow(msgspec.Struct, frozen=True, kw_only=True):
    """One map. since_ms: in this phase, Unix. cpu: percent of the machine's processor; None while no process runs."""

    map: str
    role: str | None
    phase: str
    since_ms: int
    players: int
    falls: int
    last_fall: str
    cpu: float | None
    ram_mb: float | None
    up_bytes: int
    down_bytes: int


class PauseRow(msgspec.Struct, frozen=True, kw_only=True):
    why: str
    detail: str
    since_ms: int
    until_ms: int | None


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """value: as the server last said, None while this host is not up. terms: what could bring the most first. todo: first of
    all."""

    value: float | None
    terms: list[Term]
    todo: list[str]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Times are Unix ms. link: to the bridge; None: none is wanted. troubles: why no map can be served, or the newest bundle is
    not here. slots_used, slots: of maps; slots None while the server has named none. guests: players by their own connections,
    where `players` is what their maps say. notes: the server's words. history: oldest first, every step_s."""

    host: str
    version: str
    pid: int
    at_ms: int
    started_ms: int
    state: State
    words: str
    pause: PauseRow | None
    nats: str
    connected: bool
    latency_ms: float | None
    link: bool | None
    bundle: str | None
    slots_used: int
    slots: int | None
    players: int
    guests: Guests
    maps: list[MapRow]
    cost: Sample | None
    score: Score
    troubles: list[str] = []
    notes: list[str]
    step_s: float
    history: list[Sample]

    @property
    def is_finding(self) -> bool:
        return self.state in FINDINGS


@dataclass(frozen=True)
class Parts:
    """As they are now. url: of NATS, without a password. link, troubles: as Status. able: maps could be served."""

    host: str
    version: str
    pid: int
    at_ms: int
    started_ms: int
    url: str
    pause: Pause | None = None
    connected: bool = False
    order: HostOrder | None = None
    link: bool | None = None
    able: bool = True
    troubles: Sequence[str] = ()
    measured: Measured = field(default_factory=Measured)
    statuses: "Sequence[MapStatus]" = ()
    guests: Guests = field(default_factory=Guests)
    samples: Sequence[Sample] = ()


def status_of(parts: Parts) -> Status:
    order, latest = parts.order, parts.samples[-1] if parts.samples else None
    maps = [_row(status, latest.maps_cpu if latest is not None else {}) for status in parts.statuses]
    notes = list(order.notes) if order is not None else []
    state = _state(parts, maps)
    terms = terms_of(parts.measured)
    best = [f"{terms[0].what}: {terms[0].todo}"] if state != "unable" else []
    return Status(
        host=parts.host,
        version=parts.version,
        pid=parts.pid,
        at_ms=parts.at_ms,
        started_ms=parts.started_ms,
        state=state,
        words=WORDS[state],
        pause=_pause(parts.pause),
        nats=parts.url,
        connected=parts.connected,
        latency_ms=parts.measured.latency_ms,
        link=parts.link,
        bundle=parts.measured.bundle,
        slots_used=len(maps),
        slots=order.slots if order is not None else None,
        players=sum(row.players for row in maps),
        guests=parts.guests,
        maps=maps,
        cost=latest,
        score=Score(
            value=order.score if order is not None and parts.connected else None,
            terms=terms,
            todo=unmet(notes) or best,
        ),
        troubles=list(parts.troubles),
        notes=notes,
        step_s=SAMPLE_S,
        history=list(parts.samples),
    )


def _state(parts: Parts, maps: list[MapRow]) -> State:
    """The first that holds; an order without a score is one for a host that is not up."""
    if parts.pause is not None:
        return "leaving" if maps else "paused"
    if not parts.connected:
        return "not connected"
    if parts.order is None:
        return "unheard"
    if not parts.able and not maps:
        return "unable"
    if parts.order.score is None:
        return "unfit"
    return "serving" if maps else "ready"


def _row(status: "MapStatus", cpu: Mapping[str, float]) -> MapRow:
    return MapRow(
        map=status.map,
        role=status.role,
        phase=status.phase.value,
        since_ms=status.since_ms,
        players=status.players,
        falls=status.falls,
        last_fall=status.last_fall,
        cpu=cpu.get(status.map) if status.cost is not None else None,
        ram_mb=status.cost.ram_mb if status.cost is not None else None,
        up_bytes=status.up_bytes,
        down_bytes=status.down_bytes,
    )


def _pause(pause: Pause | None) -> PauseRow | None:
    if pause is None:
        return None
    return PauseRow(why=pause.why.value, detail=pause.detail, since_ms=pause.since_ms, until_ms=pause.until_ms)
