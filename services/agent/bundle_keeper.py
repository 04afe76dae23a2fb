"""Keeps this machine's bundle the operator's newest, beside the agent: fetches while no map is served, says what came of it.

In: settings, and whether maps are served. Out: `version` for host.metrics, `refused`, the last refusal, for the same.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from services.agent.bundle import current, fetch, settle
from services.agent.bundle_report import BundleError, BundleRefused, Evidence
from services.agent.bundle_store import Store, Version

EVERY_S: Final = 300.0
"""With a spread of half. Where nothing is new, the manifest alone travels: 95 KB for stock rAthena."""
AGAIN_S: Final = 30.0
"""After a failure; doubled each time, up to EVERY_S."""
SERVING_S: Final = 5.0
"""How often an agent that serves looks whether it still does."""
_LOG = logging.getLogger(__name__)


class Keeper:
    """url, key: of the operator's bundle. ca: as `fetch`. on_looked(): what could be had is here."""

    def __init__(
        self,
        url: str,
        key: str,
        store: Store,
        rng: random.Random,
        ca: Path | None = None,
        on_looked: Callable[[], None] = lambda: None,
    ) -> None:
        self._url, self._key, self._store, self._rng, self._ca = url, key, store, rng, ca
        self._on_looked = on_looked
        self._said = ""
        self._asked = asyncio.Event()
        self.evidence: Evidence | None = None
        self.version: str | None = None

    def look(self) -> None:
        """There may be a newer one: look now, as soon as no map is served."""
        self._asked.set()

    async def run(self, serving: Callable[[], bool]) -> None:
        """Until cancelled. serving(): maps run here now; theirs is the line."""
        failures = 0
        while True:
            if serving():
                await asyncio.sleep(SERVING_S)
                continue
            self._asked.clear()
            failures = 0 if await self.once() else failures + 1
            wait_s = EVERY_S if failures == 0 else min(EVERY_S, AGAIN_S * 2.0 ** min(failures - 1, 8))
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s * self._rng.uniform(0.5, 1.5)):
                    await self._asked.wait()

    async def once(self) -> bool:
        """False: nothing newer could be had, for a reason that is logged once."""
        before, had = self.version, self.evidence
        try:
            self._now_is(settle(self._store, self._key))
            await fetch(self._url, self._key, self._store, ca=self._ca)
            self._now_is(current(self._store))
            self.evidence = None
        except BundleRefused as refused:
            self.evidence = refused.evidence
            if had is None or str(had) != str(refused):
                _LOG.error("%s", refused)
            return False
        except (BundleError, OSError) as error:
            if str(error) != self._said:
                _LOG.warning("the bundle: %s", error)
            self._said = str(error)
            return False
        self._said = ""
        if self.version != before:
            _LOG.info("maps are run with bundle %s", self.version)
        self._on_looked()
        return True

    @property
    def trouble(self) -> str | None:
        """Why the operator's newest is not here, for the player; None: it is, or was not looked for yet."""
        return str(self.evidence.told()) if self.evidence is not None else self._said or None

    @property
    def refused(self) -> str | None:
        """The last refusal, for host.metrics; None since something was taken again."""
        return self.evidence.told() if self.evidence is not None else None

    def _now_is(self, version: Version | None) -> None:
        self.version = version.id if version is not None else None
