"""What is wrong with a configuration, said so that an operator can mend it.

In: what the other rooms of libs.config found. Out: `ConfigError`, one finding a line.
Called by loading and Settings.from_public.
"""

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN_CHARS_MAX = 60  # of a value: enough to recognise it, and a finding stays on one line


@dataclass(frozen=True)
class Finding:
    """One mistake. file: its name, or the environment variable; line: from 1, None where there is none;
    key: dotted, "" for the file as a whole; allowed: "" where the message says it all."""

    file: str
    line: int | None
    key: str
    message: str
    allowed: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        said = f"{self.key}: {self.message}" if self.key else self.message
        return f"{place}: {said}; allowed: {self.allowed}" if self.allowed else f"{place}: {said}"


class ConfigError(Exception):
    """The configuration cannot be used. `findings`: every mistake, at least one. Give up: a retry changes nothing."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = sorted(findings, key=lambda found: (found.line is None, found.line or 0, found.file, found.key))
        super().__init__("\n".join(map(str, self.findings)))

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[list[Finding]]]:
        return type(self), (self.findings,)


def shown(value: object) -> str:
    """The value as libconfig would write it, on one line, cut to SHOWN_CHARS_MAX."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            escaped = ascii(value)[1:-1]
            return f'"{escaped}"' if len(escaped) <= SHOWN_CHARS_MAX else f'"{escaped[:SHOWN_CHARS_MAX]}..."'
        case dict():
            return "a group"
        case list() | tuple():
            return "a list"
        case _:
            return repr(value)[:SHOWN_CHARS_MAX]
