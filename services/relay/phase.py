"""Where a client's session is. Pure."""

from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """FIRST: no 0436 yet. HELD: no server, not yet or no more. ENTERING: a server was named and has not said 02eb.
    LOADING: it has; the client was told 0091 and loads. PLAYING: everything passes. GOING: the server said that it ends.
    HOLDING: told to hold; the server has not closed yet. CLOSED: over."""

    FIRST = "first"
    HELD = "held"
    ENTERING = "entering"
    LOADING = "loading"
    PLAYING = "playing"
    GOING = "going"
    HOLDING = "holding"
    CLOSED = "closed"


PLACED: Final = frozenset({Phase.LOADING, Phase.PLAYING, Phase.GOING})
"""A server has the player."""
