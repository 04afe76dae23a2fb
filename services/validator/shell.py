"""What the validator reads and hears, and its core made. Replicas share the work by time."""

import secrets

from libs.config import Settings
from libs.events import HostMetrics, HostSpeed, NodeName, SaveCheck, Stream
from libs.runtime.service import Service
from services.validator.core import Validator


def _make_core(settings: Settings, name: NodeName, now_ms: int) -> Validator:  # noqa: ARG001 - the shape of every service
    return Validator(settings, name=name, nonce=lambda: secrets.token_hex(16))


SERVICE = Service("validator", (Stream.HOSTS,), (HostMetrics,), None, _make_core, (SaveCheck, HostSpeed))
