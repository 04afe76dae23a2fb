"""One way to run a service: settings, telemetry, connect, follow, decide, append, health, drain."""

from libs.runtime.process import Process
from libs.runtime.service import Service, run

__all__ = ["Process", "Service", "run"]
