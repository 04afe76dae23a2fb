"""Keeps the embedded server's users what the log says: hosts that are enrolled may connect, others may not.

In: ops.enroll, followed in HOSTS. Out: nats-server's configuration, read anew by SIGHUP. The log is the one truth: at each
start the users are made from it. Called by services.ops.stack.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from libs.bus.embedded import EmbeddedServer
from libs.bus.guard import end
from libs.bus.nats import NatsBus, connect
from libs.bus.port import Following, Start
from libs.events import Fact, OpsEnroll, Stream
from libs.identity.accounts import User
from libs.runtime.process import node_name
from services.ops.enrolled import Enrolled

CATCH_UP_TIMEOUT_S = 30.0
SETTLE_S = 0.05
"""Several enrolments at once are one reload: each one costs the server a look at every client."""
_LOG = logging.getLogger(__name__)


class HostUsers:
    """`start` when the server runs, `stop` before it ends. own: users that are there whatever the log says."""

    def __init__(self, server: EmbeddedServer, own: Sequence[User], url: str, credentials: Path) -> None:
        self._server, self._own, self._url, self._credentials = server, own, url, credentials
        self._enrolled = Enrolled()
        self._changed = asyncio.Event()
        self._bus: NatsBus | None = None
        self._following: Following | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._lost = False

    async def start(self) -> None:
        """Returns when every enrolled host may connect.

        Raises:
            BusUnavailable: the server does not answer.
        """
        self._bus = await connect(self._url, name=node_name("up"), credentials=self._credentials, on_lost=self._on_lost)
        await self._bus.ensure_streams(1)
        await self._follow()
        self._load()
        self._keeping = asyncio.create_task(self._keep(), name="host users")

    async def stop(self) -> None:
        await end([self._keeping] if self._keeping is not None else [])
        if self._bus is not None:
            await self._bus.close()

    async def _follow(self) -> None:
        assert self._bus is not None
        if self._following is not None:
            await self._following.close()
        self._enrolled, self._lost = Enrolled(), False
        self._following = await self._bus.follow([Stream.HOSTS], self._on_fact, Start.LAST_PER_SUBJECT)
        await self._following.caught_up(CATCH_UP_TIMEOUT_S)

    def _on_fact(self, fact: Fact) -> None:
        self._enrolled.apply(fact)
        if isinstance(fact.event, OpsEnroll):
            self._changed.set()

    def _on_lost(self, reason: str) -> None:
        _LOG.warning("enrolled hosts are read anew: %s", reason)
        self._lost = True
        self._changed.set()

    async def _keep(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE_S)
            if self._lost:
                await self._follow()
            self._load()

    def _load(self) -> None:
        self._changed.clear()
        users = self._enrolled.users()
        _LOG.info("%d hosts may connect", len(users))
        self._server.reload([*self._own, *users])
