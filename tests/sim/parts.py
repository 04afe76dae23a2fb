"""What every simulated process shares: time, chance, the network, the server."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from libs.config import Settings
from libs.events import ConfigApplied
from libs.hosting.effects import Append
from tests.sim.client import Host, Lease, Publisher
from tests.sim.clock import Clock
from tests.sim.network import Network
from tests.sim.server import Server


@dataclass(slots=True)
class Parts:
    """settle_us: when a publisher gives up. on_acknowledged: told of every acknowledged write (Msg-Id, write, sequence).
    counts: what happened how often, for the report."""

    settings: Settings
    clock: Clock
    rng: random.Random
    network: Network
    server: Server
    settle_us: int
    lease_ttl_us: int
    on_acknowledged: Callable[[str, Append, int], None]
    counts: Counter[str] = field(default_factory=Counter)

    def config_applied(self, at_ms: int) -> ConfigApplied:
        """As every service says at its start; once is enough."""
        return ConfigApplied(hash=self.settings.hash(), at_ms=at_ms, settings=self.settings.public())

    def publisher(self, process: Host) -> Publisher:
        publisher = Publisher(process, self.server, self.network, self.settle_us)
        publisher.on_acknowledged = self.on_acknowledged
        return publisher

    def lease(self, process: Host) -> Lease:
        return Lease(process, self.server, self.clock, self.rng, self.lease_ttl_us)
