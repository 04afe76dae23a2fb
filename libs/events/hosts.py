"""What is said about hosts: measured, up, down, judged, ordered, asked."""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from libs.events.base import Event, Reply, Stream, declare
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
    Port,
    Region,
    Score,
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


@declare("host.metrics", token="host", stream=Stream.METRICS, said_by="agent", heard_by="registry, validator")
class HostMetrics(Event, frozen=True, kw_only=True):
    """An agent's heartbeat. Any measured value may be null or absent: unmeasured (DESIGN D8).

    host: who beats.
    account_id: the player's account the host is bound to.
    at_ms: the agent's own clock, Unix ms; nothing is decided on it.
    seq: heartbeat number of this agent process.
    address: where map-servers listen, null while unknown.
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
    leaving: true on an orderly goodbye.
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
    leaving: bool


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


class OrderedMap(msgspec.Struct, frozen=True, kw_only=True):
    """One map a host shall run. tenure: ASSIGNMENTS sequence. role: primary serves, backup stays warm and owns nobody."""

    tenure: Seq
    role: Literal["primary", "backup"]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Where and with which one-time ticket the agent links to the bridge."""

    address: Annotated[str, Meta(max_length=255)]
    port: Port
    ticket: Annotated[str, Meta(max_length=2048)]


@declare("host.order", token="host", stream=None, said_by="registry", heard_by="that agent")
class HostOrder(Event, frozen=True, kw_only=True):
    """What a host shall run now, whole. An order below the last obeyed (lease, as_of) is ignored.

    host: to whom.
    at_ms: Unix ms.
    as_of: ASSIGNMENTS sequence this order was read from.
    lease: the registry lease's number; a later holder has a higher one.
    interval_ms: heartbeat interval, ms.
    maps: map -> tenure and role; a map not named is stopped.
    link: where to link to, null while there is no bridge.
    score: the host's score without a map's own terms, for its player.
    notes: unmet requirements and other words for its player.
    """

    host: HostId
    at_ms: AtMs
    as_of: Seq
    lease: Seq
    interval_ms: Annotated[int, Meta(ge=50, le=600_000)]
    maps: Annotated[dict[MapName, OrderedMap], Meta(max_length=MAPS_PER_HOST_MAX)]
    link: Link | None = None
    score: Score | None = None
    notes: Annotated[list[Text], Meta(max_length=32)] = []


@declare("host.lost", token="host", stream=None, said_by="bridge, when a link ends", heard_by="registry")
class HostLost(Event, frozen=True, kw_only=True):
    """A hint: the bridge's link to this host ended.

    host: whose.
    at_ms: Unix ms.
    link: which link, the bridge's own name for it.
    """

    host: HostId
    at_ms: AtMs
    link: Text


@declare("host.rtt", token="host", stream=None, said_by="relay", heard_by="registry")
class HostRtt(Event, frozen=True, kw_only=True):
    """Observed: what the relay of a region timed to a host.

    host: which.
    at_ms: Unix ms.
    region: the relay's.
    p50_ms: median round trip, ms.
    p95_ms: 95th percentile, ms.
    """

    host: HostId
    at_ms: AtMs
    region: Region
    p50_ms: DurationMs
    p95_ms: DurationMs


class CheckKind(StrEnum):
    """presence: answer a nonce. cpu: prove work, timed against the claimed clock."""

    PRESENCE = "presence"
    CPU = "cpu"


class HostCheckReply(Reply, frozen=True, kw_only=True):
    """proof: SHA-256 chained `rounds` times over nonce and host, hex; empty when the agent refuses."""

    proof: Annotated[str, Meta(max_length=128)]


@declare("host.check", token="host", stream=None, said_by="validator (request)", heard_by="that agent", reply=HostCheckReply)
class HostCheck(Event, frozen=True, kw_only=True):
    """Prove it. The reply's proof is checked against what the validator computes itself.

    host: who is asked.
    at_ms: Unix ms.
    kind: presence or cpu.
    nonce: fresh, hex.
    rounds: how often the hash is chained; the work of a cpu check.
    """

    host: HostId
    at_ms: AtMs
    kind: CheckKind
    nonce: Annotated[str, Meta(min_length=8, max_length=128)]
    rounds: Annotated[int, Meta(ge=1, le=5_000_000)] = 1


class HostDialReply(Reply, frozen=True, kw_only=True):
    """ok, or the reason why not."""

    ok: bool
    reason: Text = ""


@declare("host.dial", token="host", stream=None, said_by="relay (request)", heard_by="that agent", reply=HostDialReply)
class HostDial(Event, frozen=True, kw_only=True):
    """Open one connection from the host to a relay, for one player.

    host: who shall dial.
    relay: the relay's name.
    address: where it listens.
    port: TCP.
    ticket: one-time, signed.
    """

    host: HostId
    relay: Name
    address: Annotated[str, Meta(max_length=255)]
    port: Port
    ticket: Annotated[str, Meta(max_length=2048)]
