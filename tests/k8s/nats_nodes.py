"""The rendered nats.conf as a running nats-server, with what a test machine lacks put in its place. For tests."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .rendered import Document, Manifests, containers, environment, pod_spec

NATS_SERVER = str(Path(sys.executable).with_name("nats-server"))
READ_TIMEOUT_S = 20
READY_TIMEOUT_S = 60


@dataclass(frozen=True)
class Node:
    process: subprocess.Popen[bytes]
    client_port: int
    monitor_port: int
    pid_file: Path
    log: Path


@dataclass(frozen=True)
class Secret:
    """What the Secret kafra-nats holds. login: as nats-py's options."""

    accounts: str
    login: dict[str, Any]


def nats_container(manifests: Manifests) -> Document:
    (container,) = containers(manifests.nats())
    return container


def conf_files(manifests: Manifests) -> dict[str, str]:
    """Name -> text of the files in the directory the container reads its configuration from."""
    files: dict[str, str] = manifests.one("ConfigMap", "nats-config")["data"]
    return files


def _write(manifests: Manifests, directory: Path, secret: Secret | None) -> Path:
    """ConfigMap and Secret as the pod would see them; the path of the file that its arguments name."""
    for name, text in conf_files(manifests).items():
        (directory / name).write_text(text)
    (volume,) = [volume for volume in pod_spec(manifests.nats())["volumes"] if volume["name"] == "config"]
    (from_secret,) = [source["secret"] for source in volume["projected"]["sources"] if "secret" in source]
    assert from_secret["items"] == [{"key": "accounts.conf", "path": "accounts.conf"}]
    if secret is not None:
        (directory / "accounts.conf").write_text(secret.accounts)
    arguments = nats_container(manifests)["args"]
    (mount,) = [m for m in nats_container(manifests)["volumeMounts"] if m["name"] == "config"]
    return directory / Path(arguments[arguments.index("--config") + 1]).relative_to(mount["mountPath"])


def _environment(manifests: Manifests, pod_name: str) -> dict[str, str]:
    """What the StatefulSet puts into the container's environment, and nothing else."""
    resolved: dict[str, str] = {}
    for name, value in environment(nats_container(manifests)).items():
        if isinstance(value, str):
            resolved[name] = value
        else:
            assert value["fieldRef"]["fieldPath"] == "metadata.name"
            resolved[name] = pod_name
    return resolved


def nats_reads(manifests: Manifests, directory: Path, secret: Secret | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NATS_SERVER, "-t", "-c", str(_write(manifests, directory, secret))],
        env=_environment(manifests, "nats-0"),
        capture_output=True,
        text=True,
        check=False,
        timeout=READ_TIMEOUT_S,
    )


@contextmanager
def running_node(
    manifests: Manifests,
    directory: Path,
    name: str,
    secret: Secret,
    arguments: Sequence[str] = (),
    replacements: Mapping[str, str] | None = None,
) -> Iterator[Node]:
    """A running server. arguments, replacements (in the files): what must differ on this machine."""
    home = directory / name
    home.mkdir()
    conf = _write(manifests, home, secret)
    # store_dir not on the command line: nats-server refuses to be told twice.
    for old, new in {"store_dir: /data\n": f"store_dir: {home / 'data'}\n", **(replacements or {})}.items():
        (file,) = [path for path in home.glob("*.conf") if old in path.read_text()]
        file.write_text(file.read_text().replace(old, new))
    client_port, monitor_port = free_ports(2)
    command = [
        *(NATS_SERVER, "--config", str(conf), "--pid", str(home / "nats.pid")),
        *("--addr", "127.0.0.1", "--port", str(client_port), "--http_port", str(monitor_port)),
        *arguments,
    ]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=_environment(manifests, name), stderr=log)
    try:
        yield Node(process, client_port, monitor_port, home / "nats.pid", home / "log")
    finally:
        process.kill()
        process.wait()


def await_probes(manifests: Manifests, node: Node) -> None:
    """Returns when all three probes of the container have answered 200."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    for kind in ("startup", "readiness", "liveness"):
        url = f"http://127.0.0.1:{node.monitor_port}{nats_container(manifests)[f'{kind}Probe']['httpGet']['path']}"
        while (answer := _status(url)) != 200:
            assert node.process.poll() is None, "nats-server has ended"
            assert time.monotonic() < deadline, f"{url}: {answer}"
            time.sleep(0.05)


def _status(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
