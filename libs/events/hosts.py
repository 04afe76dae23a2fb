"""What is said about hosts: measured, up, down, judged."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from libs.events.base import Event, Stream, declare
from libs.events.names import (
    AccountId,
    AtMs,
    Cores,
    Count,
    DurationMs,
    Evidence,
    Fraction,
    Ghz,
    HostId,
    MapName,
    Mbps,
    Megabytes,
    Name,
    PerSecond,
    PlainLine,
    PlayersMax,
    Port,
    Region,
    Run,
    Seq,
    Text,
)

MAPS_PER_HOST_MAX = 4096
"""Far above any real host (one map-server process a map); bounds a message."""
DISCONNECTS_KEPT = 16
RegionRtts = Annotated[dict[Region, DurationMs], Meta(max_length=64)]
DisconnectsMs = Annotated[list[AtMs], Meta(max_length=DISCONNECTS_KEPT)]
MapNames = Annotated[list[MapName], Meta(max_length=MAPS_PER_HOST_MAX)]


class MapReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says of one map it was ordered to run. tenure: ASSIGNMENTS sequence. players: on this server."""

    tenure: Seq
    state: Literal["starting", "ready", "failed", "draining"]
    players: Count = 0


class LinkReport(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's link. key: Ed25519 public key of this agent process, hex; tickets are for it. linked: it needs none."""

    key: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    linked: bool


@declare("host.metrics", token="host", stream=Stream.METRICS, said_by="agent", heard_by="registry, validator")
class HostMetrics(Event, frozen=True, kw_only=True):
    """An agent's heartbeat. Any measured value may be null or absent: unmeasured (DESIGN D8).

    host: who beats.
    account_id: the player's account the host is bound to.
    at_ms: the agent's own clock, Unix ms; nothing is decided on it.
    seq: heartbeat number of this agent process.
    address: where relays reach this host, null while unknown.
    port: of the same, TCP.
    region: the relay region the agent counts itself to.
    cpu_ghz: clock, GHz.
    cpu_cores: logical cores.
    free_ram_mb: available memory, MB.
    net_mbps: measured throughput to the server's side, Mbit/s.
    latency_ms: round trip to NATS, p50, ms.
    jitter_ms: p95 - p50 of the same, ms.
    packet_rate: packets per second the path sustained.
    region_rtt_ms: region -> round trip to its relay, ms.
    maps: what runs here: map -> tenure, state, players.
    bundle: the map-server bundle's version, null for none.
    bundle_refused: why it did not take the newest one it was offered, or, leaving, can serve from none; null since it took one.
    leaving: true on an orderly goodbye.
    link: its link to the bridge, null while it needs none.
    run: drawn anew by each agent process, null where it draws none; tells whose heartbeat this is of several.
    dials: it answers host.dial, so that players reach it without an address.
    players_max: it takes no more players at once, of all its maps together; null: it says no limit.
    """

    host: HostId
    account_id: AccountId
    at_ms: AtMs
    seq: Seq
    address: Annotated[str, Meta(max_length=64)] | None
    port: Port
    region: Region
    cpu_ghz: Ghz | None = None
    cpu_cores: Cores | None = None
    free_ram_mb: Megabytes | None = None
    net_mbps: Mbps | None = None
    latency_ms: DurationMs | None = None
    jitter_ms: DurationMs | None = None
    packet_rate: PerSecond | None = None
    region_rtt_ms: Annotated[dict[Region, DurationMs | None], Meta(max_length=64)] | None = None
    maps: Annotated[dict[MapName, MapReport], Meta(max_length=MAPS_PER_HOST_MAX)]
    bundle: Annotated[str, Meta(max_length=128)] | None = None
    bundle_refused: PlainLine | None = None
    leaving: bool
    link: LinkReport | None = None
    run: Run | None = None
    dials: bool = False
    players_max: PlayersMax | None = None


class HostSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A host as the registry accepts it: measured values, the worst allowed where unmeasured. Units as host.metrics."""

    cpu_ghz: Ghz
    cpu_cores: Cores
    free_ram_mb: Megabytes
    net_mbps: Mbps
    latency_ms: DurationMs
    jitter_ms: DurationMs
    packet_rate: PerSecond
    region_rtt_ms: RegionRtts


@declare("host.up", token="host", stream=Stream.HOSTS, said_by="registry, alone", heard_by="scorer, failover, bridge")
class HostUp(Event, frozen=True, kw_only=True):
    """A host is fit and alive. Said again on material change only.

    host: who.
    account_id: the account it is bound to.
    at_ms: the registry's clock, Unix ms; disconnects count in the score as of this time.
    spec: what it can do (units as host.metrics).
    region: where it stands.
    network: whose failure it shares (the address's /16 or /32 prefix, hashed).
    reach: how players get there: direct, dialback or none.
    disconnects_ms: when the registry saw it go without goodbye, Unix ms, newest last, at most 16.
    slots: primaries plus warm backups it may hold (DESIGN D14).
    draining: takes nothing new; what it has is moved in order.
    trust: 0..1, set by the validator; 0 means never checked.
    ready_maps: map-servers started, linked and able to serve now.
    failed_maps: maps whose server failed here.
    players_max: players it takes at once, of all its maps together; null: it says no limit.
    """

    host: HostId
    account_id: AccountId
    at_ms: AtMs
    spec: HostSpec
    region: Region
    network: Name
    reach: Literal["direct", "dialback", "none"]
    disconnects_ms: DisconnectsMs
    slots: Count
    draining: bool
    trust: Fraction
    ready_maps: MapNames
    failed_maps: MapNames
    players_max: PlayersMax | None = None


@declare("host.down", token="host", stream=Stream.HOSTS, said_by="registry, alone", heard_by="scorer, failover, bridge")
class HostDown(Event, frozen=True, kw_only=True):
    """A host no longer counts; every map it serves needs another server.

    host: who.
    at_ms: the registry's clock, Unix ms.
    reason: why, one of a closed list.
    detail: the measured why, for the engineer on call.
    disconnects_ms: as in host.up, this one included where it was none of goodbye, drain or unfitness.
    """

    host: HostId
    at_ms: AtMs
    reason: Literal["silent", "lost", "left", "unfit", "blacklisted", "drained"]
    detail: Text
    disconnects_ms: DisconnectsMs


@declare("host.verdict", token="host", stream=Stream.HOSTS, said_by="validator, alone", heard_by="registry")
class HostVerdict(Event, frozen=True, kw_only=True):
    """What the validator holds of a host after a check. Absolute: the last one says all.

    host: who.
    at_ms: Unix ms.
    kind: which check gave this verdict.
    verdict: pass, strike or blacklist.
    strikes: how many stand against it now.
    blacklisted_until_ms: end of the exclusion, Unix ms, null for none.
    trust: 0..1.
    checks: kind of check -> when last passed through, Unix ms.
    evidence: what was asked, answered and expected; never an address, never a secret.
    """

    host: HostId
    at_ms: AtMs
    kind: Name
    verdict: Literal["pass", "strike", "blacklist"]
    strikes: Count
    blacklisted_until_ms: AtMs | None
    trust: Fraction
    checks: Annotated[dict[Name, AtMs], Meta(max_length=32)]
    evidence: Evidence
