"""Small parts of the bridge's simulation: a wire, an assignment."""

from dataclasses import dataclass

from libs.events import Basis, Cause, HostId, MapAssign, MapName, NodeName


@dataclass
class Wire:
    """One direction of one link: whatever is late, nothing overtakes. epoch: grows when the link breaks, what is under way on
    the old one is lost."""

    last_ms: int = 0
    epoch: int = 0


def assignment(name: str, host: str | None, now_ms: int) -> MapAssign:
    return MapAssign(
        map=MapName(name),
        kind="p2p" if host else "vps",
        host=HostId(host) if host else None,
        backups=[],
        reason="enter",
        tenure=None,
        since_ms=now_ms,
        cause=Cause(stream="MAPS", seq=1),
        basis=Basis(1, 1, 0),
        decider=NodeName("sim"),
        look="sim.0",
        config="0" * 16,
        score=None,
        candidates=[],
        refused={},
        at_ms=now_ms,
    )
