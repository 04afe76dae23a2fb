"""Which paths a bundle may hold: those that mean the same file on Linux, Windows and macOS, below the directory they are in.

Source: "Naming Files, Paths, and Namespaces" of Microsoft's Win32 documentation; names that differ in case alone are one there.
"""

import re
from collections.abc import Iterable
from typing import Final

from libs.bundle.refusal import Kind, Refused

PATH_MAX: Final = 200
"""With the directory a bundle is unpacked in, below the 260 of Windows."""
DEPTH_MAX: Final = 16
_ALLOWED: Final = re.compile(r"[A-Za-z0-9 ._@+()\[\]{}!#$%&',;=^/-]+")
"""Printable ASCII without what Windows forbids, and without ~, which its short names have. Beyond ASCII one name has several
spellings."""
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9]|lpt[0-9]) *(\..*)?", re.IGNORECASE)


def check_path(path: str) -> None:
    """
    Raises: Refused, a path that could lie elsewhere, or that some system cannot have.
    """
    if (why := _wrong_with(path)) is not None:
        raise Refused(Kind.PATH, why, about=shown(path))


def check_together(paths: Iterable[str]) -> None:
    """Paths that are right one by one.

    Raises: Refused, two that are one where case does not count, or a file where another needs a directory.
    """
    spelled: dict[str, str] = {}
    files: set[str] = set()
    directories: set[str] = set()
    for path in paths:
        parts = path.split("/")
        names = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        for name in names:
            if (known := spelled.setdefault(name.casefold(), name)) != name:
                raise Refused(Kind.PATH, f"{shown(known)} is the same where case does not count", about=shown(name))
        if path in files or path in directories or not files.isdisjoint(names):
            raise Refused(Kind.PATH, "two files, or a file and a directory, of one name", about=shown(path))
        files.add(path)
        directories.update(names[:-1])


def shown(path: str) -> str:
    """For people and logs: nothing in it can steer a terminal."""
    return ascii(path[:PATH_MAX])[1:-1]


def _wrong_with(path: str) -> str | None:
    if not path:
        return "no name"
    if len(path) > PATH_MAX:
        return f"longer than {PATH_MAX} characters"
    if _ALLOWED.fullmatch(path) is None:
        return "a character that not every system can have in a name"
    parts = path.split("/")
    if len(parts) > DEPTH_MAX:
        return f"deeper than {DEPTH_MAX} directories"
    for part in parts:
        if part in ("", ".", ".."):
            return "it leads out of its directory, or nowhere"
        if part[0] == " " or part[-1] in " .":
            return "a name that begins with a blank, or ends with one or with a dot"
        if _RESERVED.fullmatch(part) is not None:
            return "a name that Windows keeps for devices"
    return None
