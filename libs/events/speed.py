"""How fast a host's line is: pieces asked for and answered (docs/adr/0014)."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from libs.events.base import Event, Reply, declare
from libs.events.names import AtMs, HostId, Key, Number, Relays

PIECE_BYTES_MAX = 64 * 1024
"""Of one request or reply: small beside NATS's limit of 1 MiB, so that a heartbeat between two pieces is soon through."""
Piece = Annotated[bytes, Meta(max_length=PIECE_BYTES_MAX)]
Requirements = Annotated[dict[Key, Number], Meta(max_length=64)]


class SpeedStep(StrEnum):
    """start: may I, and what is required. packet, down, up: pieces of a transfer that was granted."""

    START = "start"
    PACKET = "packet"
    DOWN = "down"
    UP = "up"


class HostSpeedReply(Reply, frozen=True, kw_only=True):
    """ok false: not now, ask again after retry_ms. Only a start is told the requirements and regions, granted or not.

    ok: it was taken.
    retry_ms: how long to wait where it was not, ms.
    payload: of the size that was asked for.
    requirements: keys of host_requirements -> limit, in the unit of the configuration.
    regions: name -> the relay's host:port.
    """

    ok: bool
    retry_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 0
    payload: Piece = b""
    requirements: Requirements = {}
    regions: Relays = {}


@declare("host.speed", token="host", stream=None, said_by="agent (request)", heard_by="validator", reply=HostSpeedReply)
class HostSpeed(Event, frozen=True, kw_only=True):
    """One piece of a bounded transfer: a host measures its line to the server's side.

    host: whose line.
    at_ms: the agent's clock, Unix ms.
    step: start, packet, down or up.
    size: bytes wanted in the reply.
    payload: bytes that make the request as large as it shall be.
    """

    host: HostId
    at_ms: AtMs
    step: SpeedStep
    size: Annotated[int, Meta(ge=0, le=PIECE_BYTES_MAX)] = 0
    payload: Piece = b""
