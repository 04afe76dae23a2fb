"""What the rendered manifests promise an operator."""

import re
from collections.abc import Iterator

import kubernetes_validate
import pytest
import yaml

from .rendered import (
    CONF,
    K8S,
    SERVICES,
    Document,
    Manifests,
    bytes_of,
    containers,
    environment,
    pod_labels,
    pod_spec,
    references,
    unhashed,
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


def test_every_workload_selects_its_own_pods_alone(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        selector = workload["spec"]["selector"]["matchLabels"]
        assert manifests.selected(selector) == [workload["metadata"]["name"]]


def test_every_service_leads_to_a_port_of_the_nats_pods(manifests: Manifests) -> None:
    (container,) = containers(manifests.nats())
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    for service in manifests.of_kind("Service"):
        assert manifests.selected(service["spec"]["selector"]) == ["nats"]
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]
    assert manifests.nats()["spec"]["serviceName"] == "nats-headless"
    assert manifests.one("Service", "nats-headless")["spec"]["clusterIP"] == "None"


def test_the_url_the_services_use_is_that_of_the_nats_service(manifests: Manifests) -> None:
    ports = {port["port"] for port in manifests.one("Service", "nats")["spec"]["ports"]}

    for deployment in manifests.deployments():
        for container in containers(deployment):
            assert environment(container)["KAFRA__NATS__URL"] == "nats://nats:4222"
    assert ports == {4222}


def test_every_configmap_and_secret_that_is_needed_is_there(manifests: Manifests) -> None:
    """Except prod's Secret, which the operator makes as README.md tells."""
    there = {(d["kind"], d["metadata"]["name"]): d for d in manifests.of_kind("ConfigMap", "Secret")}
    readme = (K8S / "README.md").read_text()

    for kind, name, key in _all_references(manifests):
        if kind == "Secret" and manifests.name != "dev":
            assert name == "kafra-nats"
            assert f"create secret generic {name} " in readme
            assert f"--from-file={key}=" in readme
        else:
            document = there[kind, name]
            assert key is None or key in document["data"]


def test_only_the_lab_has_a_secret_in_version_control(manifests: Manifests) -> None:
    secrets = manifests.of_kind("Secret")

    if manifests.name == "dev":
        (secret,) = secrets
        assert secret["metadata"]["annotations"] == {"kafra/purpose": "lab only"}
    else:
        assert secrets == []


def test_the_services_read_the_password_nats_asks_for(dev_secret: dict[str, str]) -> None:
    name, _, password = dev_secret["credentials"].partition(":")

    assert f"users: [{{ user: {name}, password: {password} }}]" in dev_secret["accounts.conf"]


def test_the_configuration_exists_once_and_arrives_byte_for_byte(manifests: Manifests) -> None:
    config_map = manifests.one("ConfigMap", "kafra-config")

    assert {name: text.encode() for name, text in config_map["data"].items()} == {CONF.name: CONF.read_bytes()}


def test_the_services_accept_the_configuration_with_the_environment_they_are_given(manifests: Manifests) -> None:
    from libs.config import load

    for deployment in manifests.deployments():
        (container,) = containers(deployment)
        variables = {name: value for name, value in environment(container).items() if isinstance(value, str)}
        bus = load(CONF, variables).nats

        assert bus.url == variables["KAFRA__NATS__URL"]
        assert bus.credentials == variables["KAFRA__NATS__CREDENTIALS"]
        assert bus.replicas == manifests.nats()["spec"]["replicas"]


def test_the_configuration_is_where_the_services_look(manifests: Manifests) -> None:
    for deployment in manifests.deployments():
        assert _file_behind(deployment, "KAFRA_CONFIG", manifests) == ("kafra-config", CONF.name)


def test_the_credentials_are_where_the_services_look(manifests: Manifests) -> None:
    for deployment in manifests.deployments():
        assert _file_behind(deployment, "KAFRA__NATS__CREDENTIALS", manifests) == ("kafra-nats", "credentials")


def test_traces_are_sent_only_with_the_component_and_name_their_pod(prod: Manifests, prod_with_components: Manifests) -> None:
    for deployment in prod.deployments():
        for container in containers(deployment):
            assert not [name for name in environment(container) if name.startswith("OTEL_")]

    for deployment in prod_with_components.deployments():
        for container in containers(deployment):
            names = list(environment(container))
            assert "OTEL_EXPORTER_OTLP_ENDPOINT" in names
            # $(POD_NAME) is filled in only from variables that stand before it.
            assert names.index("POD_NAME") < names.index("OTEL_RESOURCE_ATTRIBUTES")


def test_the_ingress_leads_to_the_agents_service(prod_with_components: Manifests) -> None:
    (ingress,) = prod_with_components.of_kind("Ingress")
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    backend = path["backend"]["service"]
    service = prod_with_components.one("Service", backend["name"])

    assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]


def test_every_path_the_readme_names_exists() -> None:
    readme = (K8S / "README.md").read_text()
    named = set(re.findall(r"(?:deploy/k8s|overlays|components|base|conf)/[\w./-]*\w", readme))

    assert len(named) > 5
    for path in named:
        assert (K8S / path).exists() or (K8S.parents[1] / path).exists(), path


def _file_behind(deployment: Document, variable: str, manifests: Manifests) -> tuple[str, str]:
    """(source without hash suffix, key) of the file that the environment variable's path leads to in the container."""
    (container,) = containers(deployment)
    directory, _, file = environment(container)[variable].rpartition("/")
    (mount,) = [m for m in container["volumeMounts"] if m["mountPath"] == directory]
    (volume,) = [v for v in pod_spec(deployment)["volumes"] if v["name"] == mount["name"]]
    if "configMap" in volume:
        source = unhashed(volume["configMap"]["name"])
        assert file in manifests.one("ConfigMap", source)["data"]
        return source, file
    (item,) = [i for i in volume["secret"]["items"] if i["path"] == file]
    return unhashed(volume["secret"]["secretName"]), item["key"]


def _all_references(manifests: Manifests) -> Iterator[tuple[str, str, str | None]]:
    for workload in manifests.workloads():
        yield from references(workload)


def _cpu(quantity: str) -> float:
    """Cores of "100m" or "2"."""
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)
