"""What the rendered manifests refer to is there: pods, ports, configuration, credentials."""

from collections.abc import Iterator

from .rendered import (
    CONF,
    K8S,
    Document,
    Manifests,
    containers,
    environment,
    pod_spec,
    references,
    unhashed,
)


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
