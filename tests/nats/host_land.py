"""A nats-server with two hosts, h1 and h2, enrolled: once as the embedded server's static users, once as a cluster's, whose
tokens come of a scoped signing key. In: a directory. Out: `Land`. Called by the tests of what a host may say.
"""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from libs.bus.connect import read_credentials
from libs.bus.embedded import EmbeddedServer, find_binary
from libs.bus.nats import NatsBus, connect
from libs.identity import tokens
from libs.identity.accounts import User
from libs.identity.authority import CONFIG, SERVICES, issue, make_authority
from libs.identity.keys import Kind, make_seed, public_key_of, write_secret
from libs.identity.permissions import host_permissions, inbox_prefix

HOSTS = ("h1", "h2")
NATS_CONF = Path(__file__).resolve().parents[2] / "deploy/k8s/base/nats/nats.conf"
READY_S = 20


@dataclass(frozen=True)
class Land:
    """url: of the server. services: credentials of ours. hosts: host -> its credentials. keys: host -> public key."""

    url: str
    services: Path
    hosts: dict[str, Path]
    keys: dict[str, str]
    opened: list[NatsBus | Client] = field(default_factory=list)

    async def bus(self, name: str = "ours") -> NatsBus:
        bus = await connect(self.url, name=name, credentials=self.services)
        self.opened.append(bus)
        await bus.ensure_streams(1)
        return bus

    async def agent(self, host: str) -> NatsBus:
        """As an agent connects."""
        bus = await connect(self.url, name=host, credentials=self.hosts[host], inbox_prefix=inbox_prefix(host))
        self.opened.append(bus)
        return bus

    async def stranger(self, host: str, refusals: list[str]) -> Client:
        """Somebody with that host's credentials and a client of his own, who does as he likes."""

        async def on_error(error: Exception) -> None:
            refusals.append(str(error))

        login = _login(self.hosts[host])
        client = await nats.connect(self.url, name=host, error_cb=on_error, inbox_prefix=inbox_prefix(host), **login)
        self.opened.append(client)
        return client

    async def ours(self) -> Client:
        """A client of ours that hears whatever is said."""
        client = await nats.connect(self.url, name="ours", **_login(self.services))
        self.opened.append(client)
        return client

    async def close(self) -> None:
        """All that was opened and is not closed yet."""
        for each in self.opened:
            await each.close()


@contextlib.asynccontextmanager
async def static_users(directory: Path) -> AsyncIterator[Land]:
    """As `kafra up` makes them."""
    seeds = {host: make_seed(Kind.USER) for host in HOSTS}
    users = [User("kafra", "s3cret"), *(User(public_key_of(seeds[host]), permissions=host_permissions(host)) for host in HOSTS)]
    write_secret(directory / "services", "kafra:s3cret\n")
    for host, seed in seeds.items():
        write_secret(directory / host, seed + "\n")
    server = EmbeddedServer(directory / "nats", users=users)
    await server.start()
    land = _land(server.url, directory / "services", directory, seeds)
    try:
        yield land
    finally:
        await land.close()
        await server.stop()


@contextlib.asynccontextmanager
async def signed_tokens(directory: Path) -> AsyncIterator[Land]:
    """As deploy/k8s does: its nats.conf, with the accounts.conf that `kafra hosts authority` makes."""
    authority = directory / "authority"
    now_s = int(time.time())
    make_authority(authority, now_s)
    with cluster_node(directory, authority / CONFIG) as node:
        land = settled_land(node, directory, authority, now_s)
        try:
            yield land
        finally:
            await land.close()


@dataclass(frozen=True)
class Node:
    port: int
    pid: int


@contextlib.contextmanager
def cluster_node(directory: Path, accounts: Path) -> Iterator[Node]:
    """One node of deploy/k8s/base, without its peers."""
    home = directory / "node"
    (home / "ports").mkdir(parents=True)
    for name, text in {"cluster.conf": "", "agents.conf": "", "nats.conf": NATS_CONF.read_text()}.items():
        (home / name).write_text(text.replace("store_dir: /data", f"store_dir: {home / 'data'}"))
    (home / "accounts.conf").symlink_to(accounts)
    command = [find_binary(), "-c", str(home / "nats.conf"), "-a", "127.0.0.1", "-p", "-1", "-m", "-1"]
    command += ["--pid", str(home / "pid"), "--ports_file_dir", str(home / "ports")]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, env={**os.environ, "POD_NAME": "nats-0"})
    try:
        yield Node(_port(home, process), process.pid)
    finally:
        process.kill()
        process.wait()


def _port(home: Path, process: "subprocess.Popen[bytes]") -> int:
    end_s = time.monotonic() + READY_S
    while True:
        assert process.poll() is None, (home / "log").read_text()
        with contextlib.suppress(OSError, ValueError, LookupError):
            (said,) = (home / "ports").iterdir()
            return int(json.loads(said.read_text())["nats"][0].rsplit(":", 1)[1])
        assert time.monotonic() < end_s, "nats-server does not say where it listens"
        time.sleep(0.01)


def settled_land(node: Node, directory: Path, authority: Path, now_s: int) -> Land:
    """The hosts have their tokens."""
    seeds = {host: make_seed(Kind.USER) for host in HOSTS}
    for host, seed in seeds.items():
        write_secret(directory / host, tokens.credentials(issue(authority, host, public_key_of(seed), now_s), seed))
    return _land(f"nats://127.0.0.1:{node.port}", authority / SERVICES, directory, seeds)


def _land(url: str, services: Path, directory: Path, seeds: dict[str, str]) -> Land:
    keys = {host: public_key_of(seed) for host, seed in seeds.items()}
    return Land(url, services, {host: directory / host for host in seeds}, keys)


def _login(credentials: Path) -> dict[str, Any]:
    return {**read_credentials(credentials), "allow_reconnect": False}
