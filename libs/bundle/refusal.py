"""Why a bundle is refused: a word for programs, a sentence for people."""

from enum import StrEnum


class Kind(StrEnum):
    """What is wrong with it."""

    SIGNATURE = "signature"
    """Not signed with the operator's key, or a byte of the manifest is another."""
    MALFORMED = "malformed"
    """Signed, and makes no sense."""
    FORMAT = "format"
    """Of a newer Kafra."""
    OLDER = "older"
    """A manifest from before the one had already."""
    FORKED = "forked"
    """Two manifests with one sequence number."""
    PATH = "path"
    """A file that would lie where none may."""
    TOO_MUCH = "too_much"
    """More or larger files than any bundle has."""
    CHANGED = "changed"
    """A file is not what the manifest says."""


class Lack(StrEnum):
    """Why a host can serve from none at all. As a Kind it begins what host.metrics says as `bundle_refused`."""

    NONE = "none"
    """No bundle is there, or another operator's."""
    DAMAGED = "damaged"
    """A file on its disk is not what was signed."""
    BUSY = "busy"
    """Another agent there serves from the same store."""
    UNUSABLE = "unusable"
    """Map-servers cannot be started from it: the disk is full, a directory may not be written."""

    @classmethod
    def begins(cls, told: str) -> bool:
        return told.partition(":")[0] in frozenset(cls)


class Refused(Exception):
    """about: the file, empty for the manifest itself. detail: what is wrong with it."""

    def __init__(self, kind: Kind, detail: str, about: str = "") -> None:
        super().__init__(f"{about}: {detail}" if about else detail)
        self.kind, self.detail, self.about = kind, detail, about
