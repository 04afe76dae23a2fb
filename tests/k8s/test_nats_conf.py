"""The rendered nats.conf, judged by the real nats-server: read, started, logged in to, asked what the probes ask, ended.

The only differences from a cluster are what a test machine lacks: its ports, its paths and its peers' names.
"""

import asyncio
import json
import re
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import Error
from nats.js.api import StreamInfo

from libs.identity.accounts import User, accounts_config
from libs.identity.authority import make_authority

from .nats_nodes import (
    NATS_SERVER,
    READ_TIMEOUT_S,
    READY_TIMEOUT_S,
    Node,
    Secret,
    await_probes,
    conf_files,
    free_ports,
    nats_container,
    nats_reads,
    running_node,
)
from .rendered import Manifests, bytes_of, containers, environment, pod_spec


@pytest.fixture
def lab(dev_secret: dict[str, str]) -> Secret:
    user, _, password = dev_secret["credentials"].partition(":")
    return Secret(dev_secret["accounts.conf"], {"user": user, "password": password})


@pytest.fixture
def own(tmp_path: Path) -> Secret:
    """As README.md tells an operator to make it."""
    make_authority(tmp_path / "authority", int(time.time()))
    accounts = (tmp_path / "authority" / "accounts.conf").read_text()
    return Secret(accounts, {"user_credentials": str(tmp_path / "authority" / "services.creds")})


def test_nats_accepts_the_configuration(manifests: Manifests, tmp_path: Path, own: Secret) -> None:
    read = nats_reads(manifests, tmp_path, own)

    assert read.returncode == 0, read.stderr


def test_nats_accepts_the_configuration_of_the_lab(dev: Manifests, tmp_path: Path, lab: Secret) -> None:
    read = nats_reads(dev, tmp_path, lab)

    assert read.returncode == 0, read.stderr


def test_without_the_secrets_accounts_nats_does_not_start(prod: Manifests, tmp_path: Path) -> None:
    """It would let anyone in."""
    read = nats_reads(prod, tmp_path, None)

    assert read.returncode != 0


def test_the_labs_accounts_are_those_of_the_embedded_server(tmp_path: Path, lab: Secret) -> None:
    """By what the server says of each: its own name for all that stands in a configuration."""
    made = accounts_config([User(lab.login["user"], lab.login["password"])])

    assert _plain(lab.accounts) == _plain(made)


@pytest.mark.parametrize("overlay", ["base", "prod"])
def test_there_is_a_route_to_every_replica(request: pytest.FixtureRequest, overlay: str) -> None:
    manifests: Manifests = request.getfixturevalue(overlay)
    spec = manifests.nats()["spec"]
    conf = conf_files(manifests)["cluster.conf"]
    (container,) = containers(manifests.nats())
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    assert re.findall(r"nats://\S+", conf) == [
        f"nats://nats-{n}.{spec['serviceName']}:{ports['cluster']}" for n in range(spec["replicas"])
    ]
    assert _setting(conf, "port") == str(ports["cluster"])


def test_ports_paths_and_limits_agree_with_the_pod(manifests: Manifests) -> None:
    conf = conf_files(manifests)["nats.conf"]
    (container,) = containers(manifests.nats())
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    (claim,) = manifests.nats()["spec"]["volumeClaimTemplates"]
    memory = bytes_of(container["resources"]["limits"]["memory"])
    pid_file = _setting(conf, "pid_file")

    assert _setting(conf, "port") == ports["client"]
    assert _setting(conf, "http_port") == ports["monitor"]
    assert mounts[_setting(conf, "store_dir")] == claim["metadata"]["name"]
    assert pid_file.rpartition("/")[0] in mounts
    assert container["lifecycle"]["preStop"]["exec"]["command"][-1] == f"ldm={pid_file}"
    assert bytes_of(_setting(conf, "max_file_store")) < bytes_of(claim["spec"]["resources"]["requests"]["storage"])
    assert bytes_of(_setting(conf, "max_memory_store")) < memory / 2
    assert bytes_of(environment(container)["GOMEMLIMIT"]) < memory


def test_lame_duck_mode_fits_the_grace_period(manifests: Manifests) -> None:
    conf = conf_files(manifests)["nats.conf"]
    grace, duration = (int(_setting(conf, f"lame_duck_{k}").rstrip("s")) for k in ("grace_period", "duration"))

    assert grace < duration < pod_spec(manifests.nats())["terminationGracePeriodSeconds"]


@pytest.mark.nats
def test_one_node_of_dev_serves_its_services_refuses_others_and_ends_as_told(
    dev: Manifests, lab: Secret, tmp_path: Path
) -> None:
    with running_node(dev, tmp_path, "nats-0", lab) as node:
        await_probes(dev, node)
        stream = asyncio.run(_make_stream(node, lab.login, copies=1))
        with pytest.raises(Error, match="Authorization"):
            asyncio.run(_make_stream(node, lab.login | {"password": "wrong"}, copies=1))
        command = nats_container(dev)["lifecycle"]["preStop"]["exec"]["command"]
        assert command[:2] == ["nats-server", "--signal"]
        subprocess.run([NATS_SERVER, "--signal", f"ldm={node.pid_file}"], check=True, timeout=READ_TIMEOUT_S)
        node.process.wait(pod_spec(dev.nats())["terminationGracePeriodSeconds"])

    assert stream.config.num_replicas == 1
    assert "Entering lame duck mode" in node.log.read_text()


@pytest.mark.nats
def test_three_nodes_of_prod_are_a_cluster_that_keeps_three_copies(prod: Manifests, tmp_path: Path, own: Secret) -> None:
    names = [f"nats-{n}" for n in range(prod.nats()["spec"]["replicas"])]
    routes = [f"nats://127.0.0.1:{port}" for port in free_ports(len(names))]

    with ExitStack() as stack:
        nodes = []
        for name, route in zip(names, routes, strict=True):
            peers = ["--cluster_listen", route, "--routes", ",".join(routes)]
            nodes.append(stack.enter_context(running_node(prod, tmp_path, name, own, peers)))
        for node in nodes:
            await_probes(prod, node)
        stream = asyncio.run(_make_stream(nodes[0], own.login, copies=len(names)))
        greeting = _greeting(nodes[0])

    assert stream.cluster is not None
    assert stream.cluster.name == "kafra"
    assert {stream.cluster.leader, *(peer.name for peer in stream.cluster.replicas or [])} == set(names)
    assert "connect_urls" not in greeting  # a client learns no pod's address


@pytest.mark.nats
def test_the_agents_component_opens_a_websocket(prod_with_components: Manifests, tmp_path: Path, own: Secret) -> None:
    (container,) = containers(prod_with_components.nats())
    (declared,) = [port["containerPort"] for port in container["ports"] if port["name"] == "websocket"]
    (port, cluster_port) = free_ports(2)
    free = {f"port: {declared}\n": f"port: {port}\n"}
    alone = ["--cluster_listen", f"nats://127.0.0.1:{cluster_port}", "--routes", f"nats://127.0.0.1:{cluster_port}"]

    with running_node(prod_with_components, tmp_path, "nats-0", own, alone, free) as node:
        answer = _await_upgrade(node, port)

    assert answer.startswith(b"HTTP/1.1 101 ")


async def _make_stream(node: Node, login: dict[str, Any], copies: int) -> StreamInfo:
    url = f"nats://127.0.0.1:{node.client_port}"
    client = Client()  # not nats.connect(): it leaves the socket open when the login is refused
    try:
        await client.connect(url, allow_reconnect=False, error_cb=_ignore, **login)
        jetstream = client.jetstream(timeout=READ_TIMEOUT_S)
        return await jetstream.add_stream(name="ASSIGNMENTS", subjects=["map.assign.*"], num_replicas=copies)
    finally:
        await client.close()


def _await_upgrade(node: Node, port: int) -> bytes:
    """The status line of the answer to a websocket client's first words (RFC 6455, 1.2), as soon as there is one."""
    request = (
        "GET / HTTP/1.1\r\nHost: nats\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=READ_TIMEOUT_S) as connection:
                connection.sendall(request.encode())
                with connection.makefile("rb") as answer:
                    return answer.readline()
        except ConnectionRefusedError:
            assert node.process.poll() is None, "nats-server has ended"
            assert time.monotonic() < deadline, "nothing listens"
            time.sleep(0.05)


def _greeting(node: Node) -> dict[str, object]:
    """What the server tells whoever connects, before any login."""
    with socket.create_connection(("127.0.0.1", node.client_port), timeout=READ_TIMEOUT_S) as connection:
        line = connection.makefile("rb").readline()
    greeting: dict[str, object] = json.loads(line.removeprefix(b"INFO "))
    return greeting


async def _ignore(_: Exception) -> None:
    """What nats-py raises is enough; it would log it too."""


def _plain(config: str) -> str:
    """Without comments, quotes, commas, colons and white space: two ways to write the same."""
    lines = [line.partition("#")[0] for line in config.splitlines()]
    return re.sub(r'["\s,:]', "", "".join(lines))


def _setting(conf: str, key: str) -> str:
    (value,) = re.findall(rf"^\s*{key}: (\S+)", conf, flags=re.MULTILINE)
    return str(value)
