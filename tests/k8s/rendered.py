"""What deploy/k8s becomes: rendered by the real kustomize, split into documents, with the few questions the tests ask."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy" / "k8s"
CONF = ROOT / "conf" / "p2p_map_config.conf"
SERVICES = ("failover", "registry", "scorer", "validator")
RENDER_TIMEOUT_S = 60

Document = dict[str, Any]
Labels = dict[str, str]


def kustomize_command() -> list[str] | None:
    """The command that renders a directory, whichever this machine has."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    return None


@dataclass(frozen=True)
class Manifests:
    """One rendered kustomization."""

    name: str
    documents: tuple[Document, ...]

    def of_kind(self, *kinds: str) -> list[Document]:
        return [document for document in self.documents if document["kind"] in kinds]

    def one(self, kind: str, name: str) -> Document:
        """The only document of that kind whose name is `name`, with or without kustomize's hash suffix."""
        found = [d for d in self.of_kind(kind) if name in (d["metadata"]["name"], unhashed(d["metadata"]["name"]))]
        assert len(found) == 1, f"{self.name}: {len(found)} documents {kind}/{name}"
        return found[0]

    def workloads(self) -> list[Document]:
        return self.of_kind("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod")

    def deployments(self) -> list[Document]:
        return self.of_kind("Deployment")

    def nats(self) -> Document:
        return self.one("StatefulSet", "nats")

    def selected(self, labels: Labels) -> list[str]:
        """Names of the workloads whose pods carry `labels`."""
        return [w["metadata"]["name"] for w in self.workloads() if labels.items() <= pod_labels(w).items()]


def render(directory: Path, command: list[str], name: str) -> Manifests:
    done = subprocess.run([*command, str(directory)], capture_output=True, text=True, check=False, timeout=RENDER_TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr  # deprecated fields are reported there
    return Manifests(name, tuple(document for document in yaml.safe_load_all(done.stdout) if document))


def render_with_components(overlay: Path, scratch: Path, command: list[str], name: str) -> Manifests:
    """`overlay` with every component switched on, as an operator would by removing the comment signs."""
    scratch = scratch.resolve()
    kustomization = {
        "resources": [os.path.relpath(overlay, scratch)],
        "components": [os.path.relpath(path, scratch) for path in sorted((K8S / "components").iterdir())],
    }
    (scratch / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return render(scratch, command, name)


def unhashed(name: str) -> str:
    """Without the ten letters and digits that kustomize makes of the content of what it generates."""
    return re.sub(r"-[a-z0-9]{10}$", "", name)


def pod_labels(workload: Document) -> Labels:
    labels: Labels = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def pod_spec(workload: Document) -> Document:
    spec: Document = workload["spec"]["template"]["spec"]
    return spec


def containers(workload: Document) -> list[Document]:
    spec = pod_spec(workload)
    return [*spec.get("initContainers", []), *spec["containers"]]


def environment(container: Document) -> dict[str, Any]:
    """Name -> literal value, or the `valueFrom` mapping."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container.get("env", [])}


def bytes_of(quantity: str) -> int:
    """A Kubernetes or NATS quantity with a binary unit, in bytes: "10Gi", "256MiB"."""
    number = quantity.rstrip("iBKMGT")
    unit = quantity[len(number) :].removesuffix("B")
    return int(number) * {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}[unit]


def references(workload: Document) -> Iterator[tuple[str, str, str | None]]:
    """(kind, name, key or None) of every ConfigMap and Secret the pods need in order to start."""
    for volume in pod_spec(workload).get("volumes", []):
        for source in volume.get("projected", {}).get("sources", [volume]):
            if "configMap" in source:
                yield "ConfigMap", source["configMap"]["name"], None
            if "secret" in source:
                for item in source["secret"]["items"]:
                    yield "Secret", source["secret"].get("secretName") or source["secret"]["name"], item["key"]
    for container in containers(workload):
        for value in environment(container).values():
            if isinstance(value, dict) and "secretKeyRef" in value:
                yield "Secret", value["secretKeyRef"]["name"], value["secretKeyRef"]["key"]
