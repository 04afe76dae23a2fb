"""Who may talk to whom, by the rules Kubernetes itself applies: allowed if a policy of each side allows it.

Source: kubernetes.io/docs/concepts/services-networking/network-policies.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from .rendered import SERVICES, Document, Labels, Manifests, pod_labels

OURS = "kafra"


@dataclass(frozen=True)
class Pod:
    namespace: str
    labels: Labels

    def namespace_labels(self) -> Labels:
        return {"kubernetes.io/metadata.name": self.namespace}


DNS = Pod("kube-system", {"k8s-app": "kube-dns"})
STRANGER = Pod(OURS, {"app.kubernetes.io/name": "stranger"})
FOREIGN_NATS = Pod("elsewhere", {"app.kubernetes.io/name": "nats"})
FOREIGN_SERVICE = Pod("elsewhere", {"app.kubernetes.io/name": "kafra", "app.kubernetes.io/component": "scorer"})
COLLECTOR = Pod("observability", {})
INGRESS = Pod("ingress-nginx", {})


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reaches_nats_and_dns_and_nothing_else(prod: Manifests, service: str) -> None:
    pod = _pod(prod, service)

    assert _allowed(prod, pod, _pod(prod, "nats"), 4222)
    assert _allowed(prod, pod, DNS, 53, "UDP")
    assert _allowed(prod, pod, DNS, 53, "TCP")
    assert not _allowed(prod, pod, DNS, 443)
    assert not _allowed(prod, pod, _pod(prod, "nats"), 6222)
    assert not _allowed(prod, pod, _pod(prod, "nats"), 8222)
    assert not _allowed(prod, pod, FOREIGN_NATS, 4222)
    assert not _allowed(prod, pod, COLLECTOR, 4318)
    for other in SERVICES:
        assert not _allowed(prod, pod, _pod(prod, other), 8080)


def test_nats_nodes_reach_each_other_and_dns_and_nothing_else(prod: Manifests) -> None:
    nats = _pod(prod, "nats")

    assert _allowed(prod, nats, nats, 6222)
    assert _allowed(prod, nats, DNS, 53, "UDP")
    assert not _allowed(prod, nats, FOREIGN_NATS, 6222)
    assert not _allowed(prod, nats, _pod(prod, "scorer"), 8080)
    assert not _allowed(prod, nats, COLLECTOR, 4318)


@pytest.mark.parametrize("intruder", [STRANGER, FOREIGN_NATS, FOREIGN_SERVICE, COLLECTOR, INGRESS])
def test_nobody_else_reaches_nats(prod: Manifests, intruder: Pod) -> None:
    for port in (4222, 6222, 8222, 8081):
        assert not _allowed(prod, intruder, _pod(prod, "nats"), port)


def test_the_components_open_exactly_what_they_say(prod_with_components: Manifests) -> None:
    nats, scorer = (_pod(prod_with_components, name) for name in ("nats", "scorer"))

    assert _allowed(prod_with_components, scorer, COLLECTOR, 4318)
    assert not _allowed(prod_with_components, nats, COLLECTOR, 4318)
    assert _allowed(prod_with_components, INGRESS, nats, 8081)
    assert not _allowed(prod_with_components, INGRESS, nats, 4222)
    assert not _allowed(prod_with_components, FOREIGN_SERVICE, nats, 8081)


def test_every_policy_selects_pods_of_ours(manifests: Manifests) -> None:
    for policy in manifests.of_kind("NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        assert manifests.selected(selector.get("matchLabels", {})), policy["metadata"]["name"]
        for peer in _peers(policy):
            if "namespaceSelector" not in peer:
                assert manifests.selected(peer["podSelector"]["matchLabels"]), policy["metadata"]["name"]


def _pod(manifests: Manifests, name: str) -> Pod:
    (workload,) = [w for w in manifests.workloads() if w["metadata"]["name"] == name]
    return Pod(OURS, pod_labels(workload))


def _allowed(manifests: Manifests, source: Pod, target: Pod, port: int, protocol: str = "TCP") -> bool:
    wanted = (port, protocol)
    return _side_allows(manifests, "Egress", source, target, wanted) and _side_allows(
        manifests, "Ingress", target, source, wanted
    )


def _side_allows(manifests: Manifests, way: str, subject: Pod, other: Pod, wanted: tuple[int, str]) -> bool:
    policies = [
        policy["spec"]
        for policy in manifests.of_kind("NetworkPolicy")
        if subject.namespace == OURS
        and way in policy["spec"]["policyTypes"]
        and _matches(policy["spec"]["podSelector"], subject.labels)
    ]
    if not policies:
        return True  # a pod no policy selects is open
    peers_key = {"Egress": "to", "Ingress": "from"}[way]
    return any(
        any(_is_peer(peer, other) for peer in rule[peers_key])
        and any((p["port"], p["protocol"]) == wanted for p in rule["ports"])
        for spec in policies
        for rule in spec.get(way.lower(), [])
    )


def _is_peer(peer: dict[str, Any], pod: Pod) -> bool:
    """Without a namespaceSelector a podSelector means the policy's own namespace."""
    if "namespaceSelector" not in peer:
        return pod.namespace == OURS and _matches(peer["podSelector"], pod.labels)
    return _matches(peer["namespaceSelector"], pod.namespace_labels()) and _matches(peer.get("podSelector", {}), pod.labels)


def _matches(selector: dict[str, Any], labels: Labels) -> bool:
    assert selector.keys() <= {"matchLabels"}, "the tests know matchLabels only"
    wanted: Labels = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def _peers(policy: Document) -> list[dict[str, Any]]:
    rules = [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]
    return [peer for rule in rules for peer in (*rule.get("from", []), *rule.get("to", []))]
