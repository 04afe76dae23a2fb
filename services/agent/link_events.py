"""What the link sees of this machine's map-servers. Said by endpoint.py, heard by hosting.py."""

from dataclasses import dataclass

from libs.events import MapName


@dataclass(frozen=True, slots=True)
class Linked:
    """The bridge has taken this map-server: it may serve."""

    map: MapName


@dataclass(frozen=True, slots=True)
class Gone:
    """It is no map-server to the bridge any more: it ended, the bridge cut it, or the link is lost. It may come again."""

    map: MapName
    reason: str


@dataclass(frozen=True, slots=True)
class Players:
    """How many play there, when it changed."""

    map: MapName
    count: int


@dataclass(frozen=True, slots=True)
class Heard:
    """So many bytes went up to the bridge, or came down from it, uncompressed."""

    map: MapName
    up_bytes: int
    down_bytes: int


LinkEvent = Linked | Gone | Players | Heard
