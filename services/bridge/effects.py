"""What the bridge's core asks its shell to do; it knows no socket. What is said on the bus is libs/hosting/effects.py."""

from dataclasses import dataclass

from libs.link.messages import Message


@dataclass(frozen=True, slots=True)
class Up:
    """A packet to the char-server."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class Down:
    """A packet to the map-server on this link. link: `Node.link`."""

    link: int
    packet: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """End this map-server link; the reason is logged. orderly: nothing is wrong with it."""

    link: int
    reason: str
    orderly: bool = False


@dataclass(frozen=True, slots=True)
class Tell:
    """A message to the relay on this connection. peer: the shell's number for it."""

    peer: int
    message: Message


@dataclass(frozen=True, slots=True)
class Report:
    """Something a host should not have done, or that a stale server did: logged and counted. packet_id 0: no packet.

    kind: `fenced` (of a character it does not serve), `refused` (hosts may not say this), `unknown` (no such id), `forged`,
    `dropped`, `ticket` (a link that was refused).
    """

    kind: str
    server: str
    packet_id: int
    why: str


@dataclass(frozen=True, slots=True)
class Note:
    """What became of a server or of a map, for the operator's log. Names no player."""

    text: str


Effect = Up | Down | Cut | Tell | Report | Note
