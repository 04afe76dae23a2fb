"""What is said about maps: who enters, how many are there, who serves, how a move went."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from libs.events.base import Event, Stream, declare
from libs.events.names import (
    AccountId,
    AtMs,
    Cell,
    Count,
    DurationMs,
    HostId,
    MapName,
    NodeName,
    Region,
    Score,
    Seq,
    Text,
)

BACKUPS_MAX = 8
CANDIDATES_MAX = 8


@declare("map.enter", token="map", stream=Stream.MAPS, said_by="bridge", heard_by="scorer, failover, registry")
class MapEnter(Event, frozen=True, kw_only=True):
    """A player entered a map. Counts on its own only until the next census or assignment (DESIGN D11).

    map: where to.
    account_id: whose account.
    char_id: which character.
    at_ms: Unix ms.
    region: of the relay the player came through.
    from_map: where from, null at login.
    x: entry cell.
    y: entry cell.
    """

    map: MapName
    account_id: AccountId
    char_id: AccountId
    at_ms: AtMs
    region: Region
    from_map: MapName | None
    x: Cell
    y: Cell


@declare("map.leave", token="map", stream=Stream.MAPS, said_by="bridge", heard_by="scorer, failover, registry")
class MapLeave(Event, frozen=True, kw_only=True):
    """A player left a map. The count itself is the census's.

    map: which.
    account_id: whose account.
    char_id: which character.
    at_ms: Unix ms.
    to_map: where to, null at logout.
    """

    map: MapName
    account_id: AccountId
    char_id: AccountId
    at_ms: AtMs
    to_map: MapName | None


@declare(
    "map.census",
    token="map",
    stream=Stream.MAPS,
    said_by="bridge: on change, at most 1 a second a map; restated hourly",
    heard_by="scorer, failover",
)
class MapCensus(Event, frozen=True, kw_only=True):
    """How many players are on a map, by region; absolute.

    map: which.
    at_ms: Unix ms.
    players: region -> players; empty when nobody is there.
    """

    map: MapName
    at_ms: AtMs
    players: Annotated[dict[Region, Count], Meta(max_length=64)]


@declare("map.moved", token="map", stream=Stream.MAPS, said_by="bridge, after each move", heard_by="scorer, failover, ops")
class MapMoved(Event, frozen=True, kw_only=True):
    """What became of a move.

    map: which.
    at_ms: Unix ms.
    tenure: the assignment that asked for it, ASSIGNMENTS sequence.
    from: host that served before, null for the VPS.
    to: host meant to serve, null for the VPS.
    kind: orderly (final save, then switch) or death.
    outcome: moved; rolled_back: the old server goes on; vps: it ended on the VPS.
    players: carried over.
    ms: start of the switch to its end, ms.
    """

    map: MapName
    at_ms: AtMs
    tenure: Seq
    from_: HostId | None = msgspec.field(name="from")
    to: HostId | None
    kind: Literal["orderly", "death"]
    outcome: Literal["moved", "rolled_back", "vps"]
    players: Count
    ms: DurationMs


class Basis(msgspec.Struct, frozen=True):
    """The last sequence of each stream the decider had folded when it decided."""

    hosts: Seq
    maps: Seq
    assignments: Seq


class Cause(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a decision was made: a stored message {stream, seq}, or a timer {tick_ms}."""

    stream: Literal["HOSTS", "MAPS", "ASSIGNMENTS"] | None = None
    seq: Seq | None = None
    tick_ms: AtMs | None = None

    def __post_init__(self) -> None:
        message = self.stream is not None and self.seq is not None and self.tick_ms is None
        tick = self.stream is None and self.seq is None and self.tick_ms is not None
        if not (message or tick):
            raise ValueError("a cause is {stream, seq} or {tick_ms}")


class Terms(msgspec.Struct, frozen=True, gc=False):
    """What a score is made of, each 0 to 1, rounded to 1e-6; load is subtracted (libs/hosting/score.py)."""

    cpu: Score = 0.0
    ram: Score = 0.0
    network: Score = 0.0
    latency: Score = 0.0
    stability: Score = 0.0
    load: Score = 0.0


Considered = Annotated[str, Meta(min_length=1, max_length=32)]
"""A host's id where it is told and never becomes a token: eight of them in a decision, each a regular expression to match."""


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A host that was considered. score: rounded to 1e-6."""

    host: Considered
    score: Score
    terms: Terms


@declare("map.assign", token="map", stream=Stream.ASSIGNMENTS, said_by="scorer, failover", heard_by="bridge, registry, ops")
class MapAssign(Event, frozen=True, kw_only=True):
    """Who serves a map now, and all that is needed to decide it again. The last one of a map *is* its assignment.

    map: which.
    kind: p2p or vps.
    host: who serves, null for the VPS.
    backups: next in line, best first; the first `warm_backups` keep the map warm.
    reason: why it was written.
    tenure: ASSIGNMENTS sequence that last changed who serves; null: this very message.
    since_ms: since when that one serves, Unix ms.
    cause: the message or tick that asked for a decision.
    basis: what the decider had read.
    decider: which process wrote.
    look: which look of it; all of one look were decided together.
    config: hash of the settings in force (config.applied).
    score: of the chosen host, null where none was ranked.
    candidates: the best hosts considered, at most 8.
    refused: gate -> how many hosts it kept out.
    at_ms: the time the decision was given, Unix ms.
    cooling: hosts that failed this map lately -> until when they do not get it, Unix ms.
    """

    map: MapName
    kind: Literal["p2p", "vps"]
    host: HostId | None
    backups: Annotated[list[HostId], Meta(max_length=BACKUPS_MAX)]
    reason: Literal["enter", "promote", "failover", "drain", "rebalance", "refill", "idle", "operator"]
    tenure: Seq | None
    since_ms: AtMs
    cause: Cause
    basis: Basis
    decider: NodeName
    look: Annotated[str, Meta(max_length=64)]
    config: Annotated[str, Meta(max_length=64)]
    score: Score | None
    candidates: Annotated[list[Candidate], Meta(max_length=CANDIDATES_MAX)]
    refused: Annotated[dict[Text, Count], Meta(max_length=32)]
    at_ms: AtMs
    cooling: Annotated[dict[HostId, AtMs], Meta(max_length=64)] = {}

    def __post_init__(self) -> None:
        if (self.kind == "p2p") != (self.host is not None):
            raise ValueError("kind p2p names a host, kind vps names none")
