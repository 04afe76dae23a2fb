"""What the rendered manifests promise an operator."""

import re

import kubernetes_validate
import pytest
import yaml

from .rendered import (
    K8S,
    SERVICES,
    Manifests,
    bytes_of,
    containers,
    environment,
    pod_labels,
    pod_spec,
)

OLDEST = "1.27"  # README.md says so
DRAIN_S = 10  # a service's own limit for draining after SIGTERM
UID = 10001


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_document_fits_the_schema_of_the_oldest_and_the_newest_kubernetes(manifests: Manifests, version: str) -> None:
    assert len(manifests.documents) > 10

    for document in manifests.documents:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_the_namespace_refuses_pods_that_are_not_restricted(overlay: str) -> None:
    namespace = yaml.safe_load((K8S / "overlays" / overlay / "namespace.yaml").read_text())
    kustomization = yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())

    kubernetes_validate.validate(namespace, OLDEST, strict=True)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert namespace["metadata"]["name"] == kustomization["namespace"]


def test_everything_is_in_the_overlays_namespace(dev: Manifests, prod: Manifests) -> None:
    for manifests, namespace in ((dev, "kafra-dev"), (prod, "kafra")):
        placed = {d["metadata"].get("namespace") for d in manifests.documents if d["kind"] != "Namespace"}
        assert placed == {namespace}


def test_deleting_prod_spares_the_log_and_the_secret(prod: Manifests) -> None:
    """The volumes live as long as the namespace does, and the StatefulSet does not take them along."""
    assert prod.of_kind("Namespace", "PersistentVolumeClaim", "Secret") == []
    assert prod.nats()["spec"]["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }


def test_the_four_services_are_run_by_their_names(manifests: Manifests) -> None:
    runs = {d["metadata"]["name"]: [c["args"] for c in containers(d)] for d in manifests.deployments()}

    assert runs == {name: [["serve", name]] for name in SERVICES}


@pytest.mark.parametrize(("overlay", "services", "nats"), [("base", 2, 3), ("dev", 1, 1), ("prod", 2, 3)])
def test_replicas(request: pytest.FixtureRequest, overlay: str, services: int, nats: int) -> None:
    manifests: Manifests = request.getfixturevalue(overlay)

    assert {d["metadata"]["name"]: d["spec"]["replicas"] for d in manifests.workloads()} == {
        "nats": nats,
        **dict.fromkeys(SERVICES, services),
    }


def test_streams_have_as_many_copies_as_there_are_nats_nodes(manifests: Manifests) -> None:
    nodes = str(manifests.nats()["spec"]["replicas"])

    for deployment in manifests.deployments():
        for container in containers(deployment):
            assert environment(container)["KAFRA__NATS__REPLICAS"] == nodes


def test_every_pod_is_confined(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        spec = pod_spec(workload)
        security = spec["securityContext"]

        assert (security["runAsNonRoot"], security["runAsUser"], security["runAsGroup"]) == (True, UID, UID)
        assert security["fsGroup"] == UID
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume]
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_what_is_written_to_has_a_bounded_volume(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        empty = {v["name"]: v["emptyDir"] for v in pod_spec(workload)["volumes"] if "emptyDir" in v}
        mounts = {m["mountPath"]: m["name"] for c in containers(workload) for m in c["volumeMounts"]}

        assert mounts["/tmp"] in empty
        assert all("sizeLimit" in volume for volume in empty.values())


def test_every_container_has_requests_within_limits(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        for container in containers(workload):
            resources = container["resources"]
            for kind in ("requests", "limits"):
                assert resources[kind].keys() == {"cpu", "memory"}
            assert bytes_of(resources["requests"]["memory"]) <= bytes_of(resources["limits"]["memory"])
            assert _cpu(resources["requests"]["cpu"]) <= _cpu(resources["limits"]["cpu"])


def test_every_image_is_pinned_to_a_version(manifests: Manifests) -> None:
    images = {container["image"] for workload in manifests.workloads() for container in containers(workload)}

    assert images
    for image in images:
        assert re.search(r":v?\d+\.\d+\.\d+[^:/]*$", image), image


def test_every_container_has_three_probes_on_a_port_it_declares(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        for container in containers(workload):
            ports = {port["name"] for port in container["ports"]}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert container[probe]["httpGet"]["port"] in ports


def test_the_probes_of_a_service_are_the_ones_the_runtime_answers(manifests: Manifests) -> None:
    for deployment in manifests.deployments():
        for container in containers(deployment):
            asked = {p: container[f"{p}Probe"]["httpGet"] for p in ("startup", "readiness", "liveness")}
            assert asked == {
                "startup": {"path": "/healthz", "port": "health"},
                "readiness": {"path": "/readyz", "port": "health"},
                "liveness": {"path": "/healthz", "port": "health"},
            }
            assert {"name": "health", "containerPort": 8080} in container["ports"]


def test_a_service_has_time_to_drain(manifests: Manifests) -> None:
    for deployment in manifests.deployments():
        assert pod_spec(deployment)["terminationGracePeriodSeconds"] >= DRAIN_S * 1.5


def test_an_upgrade_never_runs_fewer_services_than_before(manifests: Manifests) -> None:
    for deployment in manifests.deployments():
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert deployment["spec"]["revisionHistoryLimit"] == 5  # README.md says how far back


def test_replicas_are_spread(manifests: Manifests) -> None:
    anti_affinity = pod_spec(manifests.nats())["affinity"]["podAntiAffinity"]
    (apart,) = anti_affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    assert manifests.selected(apart["labelSelector"]["matchLabels"]) == ["nats"]

    for workload in manifests.workloads():
        name = workload["metadata"]["name"]
        constraints = pod_spec(workload)["topologySpreadConstraints"]
        assert "topology.kubernetes.io/zone" in {c["topologyKey"] for c in constraints}
        for constraint in constraints:
            # As the scheduler reads it: the pod's own value of each key is added to the selector.
            own = {k: v for k, v in pod_labels(workload).items() if k in constraint.get("matchLabelKeys", [])}
            assert manifests.selected({**constraint["labelSelector"]["matchLabels"], **own}) == [name]


@pytest.mark.parametrize(("overlay", "guarded"), [("dev", ["nats"]), ("prod", ["nats", *SERVICES])])
def test_disruption_budgets_each_guard_one_workload_and_let_nodes_be_drained(
    request: pytest.FixtureRequest, overlay: str, guarded: list[str]
) -> None:
    manifests: Manifests = request.getfixturevalue(overlay)
    found = []

    for budget in manifests.of_kind("PodDisruptionBudget"):
        (name,) = manifests.selected(budget["spec"]["selector"]["matchLabels"])
        found.append(name)
        (workload,) = [w for w in manifests.workloads() if w["metadata"]["name"] == name]
        if name == "nats":
            assert budget["spec"]["maxUnavailable"] == 1
        else:
            assert budget["spec"]["minAvailable"] == 1 < workload["spec"]["replicas"]

    assert sorted(found) == sorted(guarded)


def test_every_path_the_readme_names_exists() -> None:
    readme = (K8S / "README.md").read_text()
    named = set(re.findall(r"(?:deploy/k8s|overlays|components|base|conf)/[\w./-]*\w", readme))

    assert len(named) > 5
    for path in named:
        assert (K8S / path).exists() or (K8S.parents[1] / path).exists(), path


def _cpu(quantity: str) -> float:
    """Cores of "100m" or "2"."""
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)
