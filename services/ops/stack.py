"""Everything on one machine: an embedded nats-server and the services as child processes. Called by `kafra up` and the demo."""

import asyncio
import json
import logging
import os
import secrets
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from libs.bus.embedded import EmbeddedServer
from libs.bus.errors import ServerFailed
from libs.config import load
from libs.identity.accounts import User
from libs.identity.certificates import ServerCertificate
from libs.link.certifying import identities
from libs.link.keys import SIGNER, TAKER, link_keys
from libs.link.tls import BRIDGE, RELAY
from services.ops.keeper import HostUsers
from services.ops.supervisor import Child, Supervisor

SERVICES = ("registry", "scorer", "failover", "validator")
RATHENA = ("bridge", "relay")
"""Where a stock rAthena is: one of each, whatever the number of replicas."""
USER = "kafra"
EVERYWHERE = ("0.0.0.0", "::", "")
"""To listen on every address of this machine."""
WATCH_S = 0.05
RESTART_WAIT_S = 1.0
"""Before nats-server is started again after it did not start."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class StackOptions:
    """store: directory of everything kept. port: of NATS, 0: any free. listen: address NATS listens on. tls: all encrypt.
    websocket_port: for agents that come by websocket, 0: any free, None: none. open: no authorization. only: which services.
    replicas: of each. log_files: the children's logs go to store/log, not to our stderr."""

    store: Path
    port: int = 4222
    listen: str = "127.0.0.1"
    tls: ServerCertificate | None = None
    websocket_port: int | None = None
    open: bool = False
    config: Path | None = None
    only: tuple[str, ...] = SERVICES
    replicas: int = 1
    log_files: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


class Stack:
    """`start`, `watch` until stopped, `stop`. The same store and port again is the same system again."""

    def __init__(self, options: StackOptions) -> None:
        self.options = options
        self.credentials: Path | None = None
        users: list[User] | None = None
        if not options.open:
            self.credentials, own = _own_user(options.store)
            users = [own]
        self._own_users = users or []
        self.server = EmbeddedServer(
            options.store / "nats",
            port=options.port,
            host=options.listen,
            users=users,
            tls=options.tls,
            websocket_port=options.websocket_port,
        )
        self.host_users: HostUsers | None = None
        self.supervisor: Supervisor | None = None
        self.server_restarts = 0
        self._watching: asyncio.Task[None] | None = None
        self._announced = False

    @property
    def url(self) -> str:
        """For our own, on this machine."""
        here = "127.0.0.1" if self.options.listen in EVERYWHERE else self.options.listen
        return f"{'tls' if self.options.tls else 'nats'}://{f'[{here}]' if ':' in here else here}:{self.server.port}"

    async def start(self) -> None:
        """Returns when NATS and every service are ready.

        Raises:
            ServerFailed: NATS does not start; the message says why.
            TimeoutError: a service is not ready in time.
        """
        try:
            await self.server.start()
        except ServerFailed as error:
            raise ServerFailed(_in_one_line(str(error), self.options.port)) from None
        if self.credentials is not None:
            self.host_users = HostUsers(self.server, self._own_users, self.url, self.credentials)
        children = [
            Child(f"{service}-{number}", [sys.executable, "-m", f"services.{service}"], self.environ())
            for service in self.options.only
            for number in range(1 if service in RATHENA else self.options.replicas)
        ]
        self.supervisor = Supervisor(children, self.options.store / "log" if self.options.log_files else None)
        try:
            if self.host_users is not None:
                await self.host_users.start()
            await self.supervisor.start()
        except BaseException:
            await self._end_server()
            raise
        _run_file(self.options.store).write_text(
            json.dumps(
                {"url": self.url, "credentials": str(self.credentials) if self.credentials else None, "pid": os.getpid()}
            ),
            encoding="utf-8",
        )
        self._announced = True
        self._watching = asyncio.create_task(self._watch_server())

    def environ(self) -> dict[str, str]:
        """What a child is told: where NATS is, and which configuration."""
        environ = dict(self.options.environ) | {"KAFRA__NATS__URL": self.url, "KAFRA__NATS__REPLICAS": "1"}
        environ.pop("KAFRA_HEALTH_PORT", None)  # one port cannot serve them all
        if self.credentials is not None:
            environ["KAFRA__NATS__CREDENTIALS"] = str(self.credentials)
        if self.options.config is not None:
            environ["KAFRA_CONFIG"] = str(self.options.config.resolve())
        if self.options.open:
            environ["KAFRA_BRIDGE_OPEN"] = "1"
        if set(self.options.only) & set(RATHENA):
            environ |= self._rathena_environ()
        return environ

    def _rathena_environ(self) -> dict[str, str]:
        """Certificates for bridge and relay, keys for tickets, and a place to remember, where the configuration names none."""
        store = self.options.store
        settings = load(self.options.config, self.options.environ)
        environ = {} if settings.bridge.store else {"KAFRA__BRIDGE__STORE": str(store / "bridge")}
        if not settings.bridge.tls and not settings.relay.tls:
            parties = identities(store / "tls")
            environ |= {"KAFRA__BRIDGE__TLS": str(parties[BRIDGE]), "KAFRA__RELAY__TLS": str(parties[RELAY])}
        if not settings.bridge.tickets and not settings.registry.tickets:
            keys = link_keys(store / "link")
            environ |= {"KAFRA__BRIDGE__TICKETS": str(keys[TAKER]), "KAFRA__REGISTRY__TICKETS": str(keys[SIGNER])}
        return environ

    async def stop(self) -> None:
        """Ends the services, then NATS; returns when no child is left."""
        if self._announced:  # else it may be of another stack, which uses this store
            _run_file(self.options.store).unlink(missing_ok=True)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self.supervisor is not None:
            await self.supervisor.stop()
        await self._end_server()

    async def _end_server(self) -> None:
        if self.host_users is not None:
            await self.host_users.stop()
        await self.server.stop()

    async def _watch_server(self) -> None:
        """NATS, too, is started again when it dies."""
        while True:
            await asyncio.sleep(WATCH_S)
            if not self.server.running:
                self.server_restarts += 1
                _LOG.warning("nats-server ended; starting it again")
                try:
                    await self.server.restart()
                except ServerFailed as error:
                    _LOG.error("%s", _in_one_line(str(error), self.server.port))
                    await asyncio.sleep(RESTART_WAIT_S)


def _in_one_line(failure: str, port: int) -> str:
    """What an operator can act on, of an error that carries the end of nats-server's log."""
    fatal = [line.partition("[FTL]")[2].strip() for line in failure.splitlines() if "[FTL]" in line]
    if fatal and "address already in use" in fatal[-1]:
        return f"port {port} is taken, by another `kafra up` perhaps; choose one with --port, 0 for any free one"
    return f"nats-server did not start: {fatal[-1]}" if fatal else failure.partition("\n")[0]


def default_store() -> Path:
    """$KAFRA_STORE, else the state directory of the XDG base directory specification."""
    if store := os.environ.get("KAFRA_STORE"):
        return Path(store)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "kafra"


def running_stack(store: Path) -> tuple[str, Path | None] | None:
    """URL and credentials of the `kafra up` that uses this store now, or None."""
    try:
        said = json.loads(_run_file(store).read_text(encoding="utf-8"))
        return str(said["url"]), Path(said["credentials"]) if said["credentials"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_only(names: Iterable[str]) -> tuple[str, ...]:
    """
    Raises:
        ValueError: a name is none of SERVICES; says which are.
    """
    chosen = tuple(name.strip() for name in names if name.strip())
    if unknown := [name for name in chosen if name not in (*SERVICES, *RATHENA)]:
        raise ValueError(f"no service is called {', '.join(unknown)}; there are: {', '.join((*SERVICES, *RATHENA))}")
    return chosen or SERVICES


def _run_file(store: Path) -> Path:
    return store / "running.json"


def _own_user(store: Path) -> tuple[Path, User]:
    """A credentials file for our own services, made once, and the user it is for."""
    store.mkdir(parents=True, exist_ok=True)
    path = store / "services.credentials"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"{USER}:{secrets.token_urlsafe(24)}\n", encoding="utf-8")
    name, _, password = path.read_text(encoding="utf-8").strip().partition(":")
    return path, User(name, password)
