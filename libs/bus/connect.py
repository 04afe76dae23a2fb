"""Opening a connection: options, credentials, the first attempt. Called by libs.bus.nats.connect."""

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nats import errors

from libs.bus.connection import PENDING_BYTES_MAX, PING_INTERVAL_S, PINGS_OUTSTANDING_MAX, Connection
from libs.bus.errors import AuthorizationFailed, BusUnavailable, CredentialsRefused
from libs.bus.guard import end
from libs.bus.returning import ATTEMPT_TIMEOUT_S, reconnect_wait
from libs.identity.certificates import BadCertificate, client_context, is_loopback
from libs.identity.keys import BadKey, check_private

FIRST_WAIT_S = 0.1
"""Between attempts until the first connect."""
REFUSED_FOR_S = 0.5
"""A server that reads its users anew refuses for a moment whom it knows well; one that goes on refusing means it."""
_OF_AIOHTTP = re.compile(r" ssl:(<.*?>|\w+)")
"""In its words for a websocket that does not open: an object's address, nothing to anybody."""
_LOG = logging.getLogger(__name__)


async def open_connection(
    url: str, name: str, credentials: Path | str | None, inbox_prefix: str | None, ca: Path | None, timeout_s: float
) -> Connection:
    """url: one, or several of a cluster with commas between; tls:// and wss://, and any with a ca, are encrypted or fail.

    Raises:
        BusUnavailable: no server within timeout_s.
        AuthorizationFailed: it does not accept the credentials, or their file cannot be used.
    """
    options: dict[str, Any] = read_credentials(Path(credentials)) if credentials else {}
    if inbox_prefix:
        options["inbox_prefix"] = inbox_prefix
    connection = Connection()
    if (context := _encryption(url, ca)) is not None:
        options["tls"] = context
        connection.insist = True
    loop = asyncio.get_running_loop()
    refused: asyncio.Future[None] = loop.create_future()
    refusals: list[float] = []
    failures: list[str] = [""]

    async def on_error(error: Exception) -> None:
        failures[0] = _OF_AIOHTTP.sub("", str(error)) or type(error).__name__
        if connection.up and not isinstance(error, (OSError, errors.UnexpectedEOF, errors.StaleConnectionError)):
            _LOG.error("NATS: %s", error, exc_info=error)
            return
        _LOG.debug("NATS: %r", error)
        connection.refused = "authorization violation" in str(error).lower()
        if connection.refused:
            refusals.append(loop.time())
            if refusals[-1] - refusals[0] > REFUSED_FOR_S and not refused.done():
                refused.set_result(None)

    attempt = asyncio.create_task(_connect(connection, url.split(","), name, on_error, options))
    waited: set[asyncio.Future[Any]] = {attempt, refused}
    await asyncio.wait(waited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    if attempt.done() and attempt.exception() is None:
        refused.cancel()
        connection.open()
        return connection
    await end([attempt])
    await connection.close()
    if refused.done() or refusals:
        refused.cancel()
        raise CredentialsRefused(f"{bare_url(url)} does not accept these credentials")
    refused.cancel()
    reason = failures[0] or (str(attempt.exception()) if attempt.done() and not attempt.cancelled() else "no answer")
    raise BusUnavailable(f"no NATS server at {bare_url(url)} within {timeout_s:g} s: {reason}")


async def _connect(
    connection: Connection,
    urls: list[str],
    name: str,
    on_error: Callable[[Exception], Awaitable[None]],
    options: dict[str, Any],
) -> None:
    await connection.connect(
        urls,
        name=name,
        error_cb=on_error,
        reconnected_cb=connection.on_reconnected,
        allow_reconnect=True,
        max_reconnect_attempts=-1,
        connect_timeout=ATTEMPT_TIMEOUT_S,
        reconnect_time_wait=FIRST_WAIT_S,  # type: ignore[arg-type]  # a float works, and 1 s is long
        reconnect_to_server_handler=reconnect_wait,
        ping_interval=PING_INTERVAL_S,  # type: ignore[arg-type]
        max_outstanding_pings=PINGS_OUTSTANDING_MAX,
        pending_size=PENDING_BYTES_MAX,
        **options,
    )


def read_credentials(path: Path) -> dict[str, str]:
    """nats-py's options for a credentials file: a .creds file, an nkey seed, or one line `user:password`. Lines that begin
    with # are comments.

    Raises:
        AuthorizationFailed: no such file, none of these in it, or a seed that others may read. Its content is not repeated.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise AuthorizationFailed(f"credentials {path}: {error.strerror or type(error).__name__}") from None
    except UnicodeDecodeError:
        raise AuthorizationFailed(f"credentials {path}: no text") from None
    if "BEGIN NATS USER JWT" in text:
        return {"user_credentials": str(path)}
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) == 1 and lines[0].startswith("SU") and ":" not in lines[0]:
        try:
            check_private(path)
        except BadKey as error:
            raise AuthorizationFailed(str(error)) from None
        return {"nkeys_seed_str": lines[0]}
    if len(lines) == 1 and all(parts := lines[0].partition(":")):
        return {"user": parts[0], "password": parts[2]}
    raise AuthorizationFailed(f"credentials {path}: neither user:password, nor an nkey seed (SU...), nor a .creds file")


def _encryption(url: str, ca: Path | None) -> ssl.SSLContext | None:
    """
    Raises:
        AuthorizationFailed: the authority's file cannot be used.
    """
    servers = [urlsplit(part if "://" in part else f"nats://{part}") for part in url.split(",")]
    if ca is None and not any(server.scheme in ("tls", "wss") for server in servers):
        return None
    strangers = [server.hostname or "" for server in servers if not is_loopback(server.hostname or "")]
    try:
        return client_context(ca, (strangers or ["localhost"])[0])
    except BadCertificate as error:
        raise AuthorizationFailed(str(error)) from None


def bare_url(url: str) -> str:
    """Without user and password: a log line is no place for them (DESIGN D12)."""
    return ",".join(part.rpartition("@")[2] if "@" in part else part for part in url.split(","))
