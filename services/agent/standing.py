"""Connections to relays on which nobody plays yet: they stand, so that who has to come here comes at once (docs/adr/0025).

Bounded for each relay and in all, and never more than players could come. They cost no map-server anything. Whether a player
may come is asked when he does. Called by dialing.py.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

from libs.events import MapName
from services.agent.pipe import NotDialled, Pipe

PER_RELAY_MAX: Final = 64
"""Of one relay process: by its certificate, which it has to itself."""
STANDING_MAX: Final = 256


class Standing:
    """on_took: as of a `Pipe`. use(pipe, map): a player comes by this one, which stands no more."""

    def __init__(self, on_took: Callable[[int, int], float], use: Callable[[Pipe, MapName], Coroutine[Any, Any, None]]) -> None:
        self._on_took, self._use = on_took, use
        self._pipes: dict[Pipe, bytes] = {}
        self._using: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Those that are being made included."""
        return len(self._pipes)

    @property
    def ready(self) -> int:
        """On which a player could come now."""
        return sum(pipe.joined for pipe in self._pipes)

    @property
    def pipes(self) -> list[Pipe]:
        return [*self._pipes]

    def add(self, certificate: bytes, players_left: int) -> Pipe:
        """One that is to be made now. certificate: of the relay. players_left: how many could come yet.

        Raises:
            NotDialled: too many stand.
        """
        if len(self) >= min(STANDING_MAX, players_left):
            raise NotDialled(f"{len(self)} connections stand by here, and no more may")
        if Counter(self._pipes.values())[certificate] >= PER_RELAY_MAX:
            raise NotDialled(f"{PER_RELAY_MAX} connections to this relay stand by")
        pipe = Pipe(self._on_took, lambda map_: self._begin(pipe, map_))
        self._pipes[pipe] = certificate
        pipe.ended.add_done_callback(lambda _: self._pipes.pop(pipe, None))
        return pipe

    async def close(self) -> None:
        for task in list(self._using):
            task.cancel()
        await asyncio.gather(*self._using, return_exceptions=True)
        for pipe in self.pipes:
            pipe.abort("the agent ends")

    def _begin(self, pipe: Pipe, map_: str) -> None:
        del self._pipes[pipe]
        task = asyncio.ensure_future(self._use(pipe, MapName(map_)))
        self._using.add(task)
        task.add_done_callback(self._using.discard)
