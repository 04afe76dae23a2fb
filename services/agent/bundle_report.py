"""What the agent has to say about a bundle it did not take: values for the server, words for the player. Pure."""

import msgspec

from libs.bundle.refusal import Kind, Refused


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


class Busy(BundleError):
    """Another process has the store."""


def evidence_of(refused: Refused, url: str, at_ms: int) -> Evidence:
    return Evidence(kind=refused.kind, about=refused.about, detail=refused.detail, url=url, at_ms=at_ms)
