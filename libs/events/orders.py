"""What is said to hosts and timed of them: orders, checks, dials, hints."""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from libs.events.base import Event, Reply, declare
from libs.events.hosts import MAPS_PER_HOST_MAX
from libs.events.names import AtMs, Count, DurationMs, HostId, MapName, Name, Port, Region, Relays, Score, Seq, Text


class OrderedMap(msgspec.Struct, frozen=True, kw_only=True):
    """One map a host shall run. tenure: ASSIGNMENTS sequence. role: primary serves, backup stays warm and owns nobody."""

    tenure: Seq
    role: Literal["primary", "backup"]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Where and with which one-time ticket the agent links to the bridge. certificate: SHA-256 of the one the bridge shows,
    hex; without one nobody links."""

    address: Annotated[str, Meta(max_length=255)]
    port: Port
    ticket: Annotated[str, Meta(max_length=2048)]
    certificate: Annotated[str, Meta(max_length=64)] = ""


TWO_AGENTS = "two agents use this host's identity"
"""How a note begins that says so; `heard` tells each of the two whether it is the one that counts."""


WRONG_BUNDLE = "bundle:"
"""How a note begins that says which bundle is wanted."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A heartbeat, named by its own seq and at_ms."""

    seq: Seq
    at_ms: AtMs


@declare("host.order", token="host", stream=None, said_by="registry", heard_by="that agent")
class HostOrder(Event, frozen=True, kw_only=True):
    """What a host shall run now, whole. An order below the last obeyed (lease, as_of) is ignored.

    host: to whom.
    at_ms: Unix ms.
    as_of: ASSIGNMENTS sequence this order was read from.
    lease: the registry lease's number; a later holder has a higher one.
    interval_ms: heartbeat interval, ms.
    maps: map -> tenure and role; a map not named is stopped.
    link: where and with what to link, a fresh ticket for an agent that says it has no link; else null.
    score: the host's score without a map's own terms, for its player.
    slots: how many maps the host has room for, for its player.
    notes: unmet requirements and other words for its player.
    regions: name -> the relay's host:port; the host times its way there.
    heard: the last heartbeat that counted; an agent that did not send it is not the only one with this identity.
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
    regions: Relays = {}
    heard: Heard | None = None
    slots: Count | None = None


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


@declare(
    "host.check",
    token="host",
    stream=None,
    said_by="validator, registry (request)",
    heard_by="that agent",
    reply=HostCheckReply,
)
class HostCheck(Event, frozen=True, kw_only=True):
    """Prove it.

    The validator checks the reply's proof against what it computes itself; the registry times the round trip of presence
    checks. An agent cannot tell who asks.

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


NO_PORT = "no port is open here"
"""The reason of a host that was told that a relay comes to its port, and has none."""


class HostDialReply(Reply, frozen=True, kw_only=True):
    """ok, or the reason why not."""

    ok: bool
    reason: Text = ""


@declare("host.dial", token="host", stream=None, said_by="relay (request)", heard_by="that agent", reply=HostDialReply)
class HostDial(Event, frozen=True, kw_only=True):
    """One connection between the host and a relay, for one player, of now or of later.

    host: who shall dial.
    relay: the relay's name.
    address: where it listens for hosts; empty: it comes to the host's own port itself.
    port: TCP.
    ticket: one-time, signed.
    map: whose map-server the player is for; null: none yet, the connection stands by.
    certificate: SHA-256 of the one the relay shows, hex; without one nobody dials.
    """

    host: HostId
    relay: Name
    address: Annotated[str, Meta(max_length=255)]
    port: Port
    ticket: Annotated[str, Meta(max_length=2048)]
    map: MapName | None = None
    certificate: Annotated[str, Meta(max_length=64)] = ""
