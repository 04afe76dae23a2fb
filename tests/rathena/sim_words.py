"""Small parts of the bridge's simulation: the bridge's rules, a wire, an assignment."""

from dataclasses import dataclass

from libs.events import Basis, Cause, HostId, MapAssign, MapName, NodeName
from services.bridge.state import Rules

RULES = Rules(
    front_ip=bytes([10, 0, 0, 1]),
    front_port=5_120,
    core_address=(bytes([10, 0, 0, 101]), 5_101),
    fallback_address=(bytes([10, 0, 0, 102]), 5_102),
    userid=b"s1",
    passwd=b"p1",
    start_timeout_ms=5_000,
)


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
