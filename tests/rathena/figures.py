"""Milliseconds that a test saw: printed for who runs it with -s or -rP, and kept for who judges them (bench/rows.py). A test
itself judges none: the machine that runs it is not known to it."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.figures import percentile

PROVE = bool(os.environ.get("KAFRA_PROVE"))
"""The full counts."""
FILE = os.environ.get("KAFRA_FIGURES")
"""Where figures are appended, a JSON object a line: name, ms."""


def count(quick: int, full: int) -> int:
    """How often something is done: in every run of the tests, and in `make prove`."""
    return full if PROVE else quick


def tell(name: str, ms: Sequence[float]) -> None:
    """name: what bench/rows.py calls it."""
    assert ms, f"{name}: nothing was measured"
    p50, p99 = percentile(ms, 0.5), percentile(ms, 0.99)
    sys.stdout.write(f"{name}: p50 {p50:.0f} ms, p99 {p99:.0f} ms, at most {max(ms):.0f} ms, of {len(ms):,}\n")
    if FILE:
        with Path(FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, "ms": [round(each, 1) for each in ms]}) + "\n")
