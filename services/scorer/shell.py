"""What the scorer reads, and its core made. Any number of replicas; compare-and-set lets one win (DESIGN D2)."""

from libs.config import Settings
from libs.events import NodeName, Stream
from libs.hosting.looks import DecidingCore
from libs.runtime.service import Service
from services.scorer.core import Scorer


def _make_core(settings: Settings, name: NodeName, now_ms: int) -> DecidingCore:  # noqa: ARG001 - the shape of every service
    return DecidingCore(Scorer(settings), name=name, config=settings.hash())


SERVICE = Service("scorer", (Stream.HOSTS, Stream.MAPS, Stream.ASSIGNMENTS), (), None, _make_core)
