"""What this connection wrote a moment ago: its own follower gets the same bytes back and need not parse them again.

A decider reads each of its decisions back before it looks again (DESIGN D4); parsing them was a sixth of its work. That every
event we make can be read is held by tests, not by this shortcut: tests/unit/hosting_town.py decodes each decision it sees.
"""

from libs.events import Event

KEPT_MAX = 8_192
"""More than is ever in flight; a connection that follows nothing forgets them all at this many."""


class OwnWrites:
    def __init__(self) -> None:
        self._written: dict[bytes, tuple[bytes, Event]] = {}

    def wrote(self, subject: bytes, body: bytes, event: Event) -> None:
        if len(self._written) >= KEPT_MAX:
            self._written.clear()
        self._written[subject] = (body, event)

    def seen(self, subject: bytes, body: bytes) -> Event | None:
        """The event, if these are the very bytes we wrote last to this subject."""
        written = self._written.pop(subject, None)
        return written[1] if written is not None and written[0] == body else None
