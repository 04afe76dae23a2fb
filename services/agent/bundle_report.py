"""What the agent has to say about a bundle it did not take: values for the server, words for the player. Pure."""

import re
from typing import Final

import msgspec

from libs.bundle.refusal import Kind, Lack, Refused

TOLD_MAX: Final = 512
"""As host.metrics bounds it (PlainLine)."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One refusal. about: the file, empty for the manifest. sequence, version: of the manifest, once its signature held.
    had_sequence: of the newest one had before. url: without name and password."""

    kind: Kind
    about: str
    detail: str
    url: str
    at_ms: int
    version: str | None = None
    sequence: int | None = None
    had_sequence: int | None = None

    def __str__(self) -> str:
        """One line, for notes."""
        return f"bundle refused ({self.kind}): {f'{self.about}: ' if self.about else ''}{self.detail}"

    def told(self) -> str:
        """For the operator, in host.metrics. The same for the same: no time is in it."""
        known = (
            ("version", self.version),
            ("sequence", self.sequence),
            ("had sequence", self.had_sequence),
            ("from", self.url),
        )
        about = f"{self.about}: " if self.about else ""
        words = [f"{name} {value}" for name, value in known if value is not None]
        said = "; ".join([f"{self.kind}: {about}{self.detail}", *words])
        return _plain(said)


class BundleError(Exception):
    """No newer bundle than before. may_retry: another try may do, without anybody's doing."""

    may_retry = True


class BundleRefused(BundleError):
    """What was there is not what the operator signed. Give up; try again when he has put another there."""

    may_retry = False

    def __init__(self, evidence: Evidence) -> None:
        super().__init__(str(evidence))
        self.evidence = evidence


class Unavailable(BundleError):
    """The server does not answer, or not with a bundle; or the line was cut too often. What came is kept for the next try."""


class NoRoom(BundleError):
    """The disk is full, or cannot be written. What came is kept."""


class NoBundle(BundleError):
    """There is none to run maps with, or it is damaged. The next fetch may bring one. lack, detail: for the operator."""

    def __init__(self, lack: Lack, detail: str, said: str) -> None:
        super().__init__(said)
        self.lack, self.detail = lack, detail


class Busy(BundleError):
    """Another process has the store."""


def unusable(error: Exception) -> str:
    """Why maps could not be served, for the operator, in host.metrics: a word and a sentence, no path of the player's disk."""
    if isinstance(error, NoBundle):
        return _plain(f"{error.lack}: {error.detail}")
    if isinstance(error, Busy):
        return f"{Lack.BUSY}: another agent on that machine serves from the same bundle_store"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "what map-servers need is not in it"
    return _plain(f"{Lack.UNUSABLE}: {reason}")


def _plain(said: str) -> str:
    return re.sub(r"[^ -~]", "?", said)[:TOLD_MAX]


def evidence_of(refused: Refused, url: str, at_ms: int) -> Evidence:
    return Evidence(kind=refused.kind, about=refused.about, detail=refused.detail, url=url, at_ms=at_ms)
