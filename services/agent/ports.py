"""What an agent needs of its machine: measurements, and somebody who runs map-servers."""

from typing import Protocol

from libs.events import MapName, MapReport, OrderedMap
from services.agent.core import Measured


class Metrics(Protocol):
    """A source of measurements: the real machine (machine.py) or a made-up one (simulated.py)."""

    def measure(self) -> Measured:
        """What is known now; quick, it is asked at every heartbeat."""

    def observe_round_trip(self, seconds: float) -> None:
        """One round trip to NATS was measured."""


class MapServers(Protocol):
    """Runs map-servers as ordered."""

    def obey(self, wanted: dict[MapName, OrderedMap], now_ms: int) -> None:
        """Start what is wanted and does not run, stop what runs and is not wanted."""

    def reports(self, now_ms: int) -> dict[MapName, MapReport]:
        """The state of each."""

    def close(self) -> None:
        """Stop all."""
