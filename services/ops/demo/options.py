"""What `kafra demo` is told."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DemoOptions:
    """seconds: how long players play. store: keep the log there; None: a temporary directory."""

    seconds: int
    hosts: int
    players: int
    seed: int
    store: Path | None
    as_json: bool
