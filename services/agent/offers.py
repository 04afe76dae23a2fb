"""The newest ticket for the link, as long as it may be tried. In: orders. Called by link.py."""

import asyncio
from typing import Final

from libs.events import Link
from libs.link.tickets import LIFE_MS

TICKET_S: Final = LIFE_MS / 1000 - 5
"""By this agent's own stopwatch; an older one is not tried any more."""


class Offers:
    def __init__(self) -> None:
        self._newest: tuple[Link, float] | None = None

    def add(self, link: Link) -> None:
        self._newest = link, asyncio.get_running_loop().time()

    def fresh(self) -> Link | None:
        if self._newest is None or asyncio.get_running_loop().time() - self._newest[1] >= TICKET_S:
            return None
        return self._newest[0]

    def use_up(self, link: Link) -> bool:
        """It reached the bridge. False: there is a newer one."""
        if self._newest is None or self._newest[0] is not link:
            return False
        self._newest = None
        return True
