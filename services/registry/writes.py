"""host.up and host.down on their way into the log: one write of a host at a time, compare-and-set. Pure."""

from libs.events import HostDown, HostId, HostUp
from libs.hosting.effects import Append, Committed, Outcome, Refused
from libs.hosting.world import Host, World

IN_FLIGHT = -1


class Writes:
    def __init__(self, world: World) -> None:
        self._world = world
        self._open: dict[HostId, int] = {}

    def write(self, fact: HostUp | HostDown, host: Host) -> Append:
        self._open[host.id] = IN_FLIGHT
        return Append(fact, host.fact_seq, scope=f"host.*.{host.id}")

    def settled(self, host: HostId, outcome: Outcome) -> None:
        self._open.pop(host, None)
        if isinstance(outcome, Committed | Refused):
            self._open[host] = outcome.seq if isinstance(outcome, Committed) else outcome.last

    def may_write(self, host: HostId) -> bool:
        """Nothing of it is under way, and our own follower has passed the last."""
        if (seq := self._open.get(host)) is None:
            return True
        if seq == IN_FLIGHT or self._world.hosts_seq < seq:
            return False
        del self._open[host]
        return True
