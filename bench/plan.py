"""How thoroughly to measure, and where progress is said."""

import sys
from dataclasses import dataclass

QUICK = 10
"""--quick counts a tenth of everything."""


@dataclass(frozen=True, slots=True)
class Plan:
    repeat: int
    quick: bool = False

    def count(self, full: int) -> int:
        return max(1, full // QUICK) if self.quick else full

    def say(self, what: str) -> None:
        """Progress, on stderr: stdout is for the document."""
        sys.stderr.write(f"{what}\n")
        sys.stderr.flush()
