"""What relay and agent say on a connection of theirs before it is a player's (docs/adr/0023, 0025). Pure: structs, their bytes.

Frames as in messages.py. After them the player's own bytes: dialled.py.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from libs.link.messages import KEY_PATTERN, HostToken, MapToken, Message


class DialComes(Message, frozen=True, kw_only=True, tag="dial.comes"):
    """A relay that comes to a host's own port says, before anything is encrypted: for this ticket of host.dial."""

    ticket: Annotated[str, Meta(max_length=2048)]


class DialOpen(Message, frozen=True, kw_only=True, tag="dial.open"):
    """The agent's first word to the relay, under TLS. As `LinkOpen`; the ticket is that of host.dial."""

    host: HostToken
    key: Annotated[str, Meta(pattern=KEY_PATTERN)]
    ticket: Annotated[str, Meta(max_length=2048)]
    proof: Annotated[bytes, Meta(max_length=64)]


class DialAccepted(Message, frozen=True, kw_only=True, tag="dial.accepted"):
    """From here on the connection is the player's (libs/link/dialled.py); one that was asked for without a map stands, until
    the relay says `DialUse`."""


class DialRefused(Message, frozen=True, kw_only=True, tag="dial.refused"):
    """Of the relay, to who comes; of the agent, to `DialUse`. why: in a few words. The connection ends."""

    why: Annotated[str, Meta(max_length=256)]


class DialUse(Message, frozen=True, kw_only=True, tag="dial.use"):
    """The relay, on a connection that stands: it is a player's from now on, for this map. What he says first may follow at once
    (libs/link/dialled.py). Answered by `DialTaken` or `DialRefused`."""

    map: MapToken


class DialTaken(Message, frozen=True, kw_only=True, tag="dial.taken"):
    """The agent has reached its map-server; what that says follows."""


DIAL_COMES: Final = msgspec.msgpack.Decoder(DialComes)
DIAL_GREETS: Final = msgspec.msgpack.Decoder(DialOpen)
DIAL_ANSWERS: Final[msgspec.msgpack.Decoder[DialAccepted | DialRefused]] = msgspec.msgpack.Decoder(DialAccepted | DialRefused)
USE_ASKS: Final = msgspec.msgpack.Decoder(DialUse)
USE_ANSWERS: Final[msgspec.msgpack.Decoder[DialTaken | DialRefused]] = msgspec.msgpack.Decoder(DialTaken | DialRefused)
