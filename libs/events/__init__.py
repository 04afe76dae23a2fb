"""What is said on the bus: every event, its subject, its stream, its units; MessagePack codec.

In: bytes of a NATS message. Out: a frozen typed struct, or `MalformedEvent` with the reason. Pure: no I/O, no clock.
The catalogue as a page: docs/events.md, generated from here.
"""

from libs.events.base import (
    CATALOG,
    Declaration,
    Event,
    Fact,
    Reply,
    Stream,
    declaration_of,
    subject_of,
)
from libs.events.codec import BODY_BYTES_MAX, MalformedEvent, decode, decode_reply, encode, headers_for, parse_subject
from libs.events.hosts import HostDown, HostMetrics, HostSpec, HostUp, HostVerdict, LinkReport, MapReport
from libs.events.maps import Basis, Candidate, Cause, MapAssign, MapCensus, MapEnter, MapLeave, MapMoved, Terms
from libs.events.names import HostId, HostKey, MapName, NodeName, Region, is_name
from libs.events.operations import ConfigApplied, DeadLetter, OpsAlert, OpsBan, OpsDrain, OpsEnroll
from libs.events.orders import (
    CheckKind,
    HostCheck,
    HostCheckReply,
    HostDial,
    HostDialReply,
    HostLost,
    HostOrder,
    HostRtt,
    Link,
    OrderedMap,
)
from libs.events.players import PlayersOnline, PlayersOnlineReply, SaveCheck, SaveVerdict
from libs.events.speed import HostSpeed, HostSpeedReply, SpeedStep

__all__ = [
    "BODY_BYTES_MAX",
    "CATALOG",
    "Basis",
    "Candidate",
    "Cause",
    "CheckKind",
    "ConfigApplied",
    "DeadLetter",
    "Declaration",
    "Event",
    "Fact",
    "HostCheck",
    "HostCheckReply",
    "HostDial",
    "HostDialReply",
    "HostDown",
    "HostId",
    "HostKey",
    "HostLost",
    "HostMetrics",
    "HostOrder",
    "HostRtt",
    "HostSpec",
    "HostSpeed",
    "HostSpeedReply",
    "HostUp",
    "HostVerdict",
    "Link",
    "LinkReport",
    "MalformedEvent",
    "MapAssign",
    "MapCensus",
    "MapEnter",
    "MapLeave",
    "MapMoved",
    "MapName",
    "MapReport",
    "NodeName",
    "OpsAlert",
    "OpsBan",
    "OpsDrain",
    "OpsEnroll",
    "OrderedMap",
    "PlayersOnline",
    "PlayersOnlineReply",
    "Region",
    "Reply",
    "SaveCheck",
    "SaveVerdict",
    "SpeedStep",
    "Stream",
    "Terms",
    "declaration_of",
    "decode",
    "decode_reply",
    "encode",
    "headers_for",
    "is_name",
    "parse_subject",
    "subject_of",
]
