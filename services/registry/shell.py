"""What the registry reads and hears, and its core made. One replica speaks, by lease (DESIGN D2)."""

from libs.config import Settings
from libs.events import HostLost, HostMetrics, HostRtt, NodeName, Stream
from libs.runtime import Service
from services.registry.core import Registry


def _make_core(settings: Settings, name: NodeName, now_ms: int) -> Registry:
    return Registry(settings, name=name, started_ms=now_ms)


FOLLOWS = (Stream.HOSTS, Stream.ASSIGNMENTS, Stream.MAPS)
SERVICE = Service("registry", FOLLOWS, (HostMetrics, HostLost, HostRtt), "registry", _make_core, watches=True)
