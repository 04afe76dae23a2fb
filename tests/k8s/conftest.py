"""Each kustomization, rendered once per test session; `manifests` runs a test on every one of them."""

import base64
from pathlib import Path

import pytest

from .rendered import K8S, Manifests, kustomize_command, render, render_with_components


@pytest.fixture(scope="session")
def kustomize() -> list[str]:
    command = kustomize_command()
    if command is None:
        pytest.skip("neither kustomize nor kubectl is on PATH")
    return command


@pytest.fixture(scope="session")
def base(kustomize: list[str]) -> Manifests:
    return render(K8S / "base", kustomize, "base")


@pytest.fixture(scope="session")
def dev(kustomize: list[str]) -> Manifests:
    return render(K8S / "overlays" / "dev", kustomize, "dev")


@pytest.fixture(scope="session")
def prod(kustomize: list[str]) -> Manifests:
    return render(K8S / "overlays" / "prod", kustomize, "prod")


@pytest.fixture(scope="session")
def prod_with_components(kustomize: list[str], tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    scratch: Path = tmp_path_factory.mktemp("components")
    return render_with_components(K8S / "overlays" / "prod", scratch, kustomize, "prod with components")


@pytest.fixture(params=["base", "dev", "prod", "prod_with_components"])
def manifests(request: pytest.FixtureRequest) -> Manifests:
    rendered = request.getfixturevalue(request.param)
    assert isinstance(rendered, Manifests)
    return rendered


@pytest.fixture(scope="session")
def dev_secret(dev: Manifests) -> dict[str, str]:
    """Key -> text of the lab's NATS secret."""
    return {key: base64.b64decode(value).decode() for key, value in dev.one("Secret", "kafra-nats")["data"].items()}
