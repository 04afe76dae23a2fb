"""Core NATS: say and hear, ask and answer. At most once; nothing here is kept. Called by libs.bus.nats."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from libs.bus.connection import Connection
from libs.bus.errors import AuthorizationFailed, BusUnavailable
from libs.bus.facts import name_of, schema_of
from libs.bus.guard import end, guarded
from libs.bus.port import Subscription
from libs.bus.words import body_of, header_lines, publish_command
from libs.events import Event, MalformedEvent, Reply, decode, decode_reply, subject_of

SUBSCRIBE_TIMEOUT_S = 5.0
ANSWERS_MAX = 1_024
"""Requests of one subscription being answered at once; beyond them a request gets no answer in time, as it would anyway."""
INBOX = b"_INBOX"
"""How the subjects of answers begin. Who asks names the subject of the answer, and a host may ask: elsewhere an answer would be
something he said in our name."""
_LOG = logging.getLogger(__name__)

Bury = Callable[[str, bytes, str], None]
Forget = Callable[[Subscription], None]
"""Called by a subscription that was closed."""


class Heard:
    """A core subscription; decodes, and buries what it cannot."""

    def __init__(self, connection: Connection, bury: Bury, on_event: Callable[[Event, bytes], None], forget: Forget) -> None:
        self._connection, self._bury, self._on_event, self._forget = connection, bury, on_event, forget
        self._sid = 0

    async def open(self, subject: str, queue: str | None) -> None:
        """Returns when the server knows.

        Raises:
            AuthorizationFailed: not permitted.
            BusUnavailable: no answer.
        """
        self._sid = self._connection.listen(subject, self._on_message, queue or "")
        try:
            await self._connection.round_trip(SUBSCRIBE_TIMEOUT_S)
        except BusUnavailable:
            self._connection.unlisten(self._sid)
            raise
        if self._connection.is_forbidden("Subscription", subject):
            self._connection.unlisten(self._sid)
            raise AuthorizationFailed(f"the server does not permit listening to {subject}")

    async def close(self) -> None:
        self._connection.unlisten(self._sid)
        self._forget(self)

    def _on_message(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        name = name_of(subject)
        try:
            event = decode(name, body, schema_of(headers))
        except MalformedEvent as error:
            self._bury(name, body, error.reason)
            return
        self._on_event(event, reply)


class Answering(Heard):
    """Answers requests, each in a task of its own."""

    def __init__(
        self, connection: Connection, bury: Bury, handler: Callable[[Any], Awaitable[Reply | None]], forget: Forget
    ) -> None:
        super().__init__(connection, bury, self._on_request, forget)
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        await super().close()
        await end(self._tasks)

    def _on_request(self, event: Event, reply: bytes) -> None:
        if not reply.startswith(INBOX):
            return
        if len(self._tasks) >= ANSWERS_MAX:
            _LOG.warning("%s: more than %d requests at once; one stays unanswered", event.declaration.name, ANSWERS_MAX)
            return
        task = asyncio.create_task(self._answer(event, reply.decode()))
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    async def _answer(self, event: Event, inbox: str) -> None:
        answer = await self._handler(event)
        if answer is not None:
            self._connection.publish_now(inbox, body_of(answer))

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            guarded(_raise, error)


def _raise(error: BaseException) -> None:
    raise error


def say(connection: Connection, event: Event, trace: str | None) -> None:
    connection.send(publish_command(subject_of(event), body_of(event), headers=header_lines(event, trace)))


async def ask(connection: Connection, bury: Bury, request: Event, timeout_s: float) -> Reply | None:
    """See `Bus.ask`."""
    reply_type = request.declaration.reply
    assert reply_type is not None, f"{request.declaration.name} is no request"
    subject = subject_of(request)
    try:
        _, body = await connection.call(subject, body_of(request), timeout_s, header_lines(request))
    except BusUnavailable:
        return None
    try:
        return decode_reply(reply_type, body)
    except MalformedEvent as error:
        bury(subject, body, f"reply: {error.reason}")
        return None
