"""What the Dockerfile promises, read as text: no container engine needed."""

import json
import re
import shlex
import tomllib
from fnmatch import fnmatch
from typing import NamedTuple

import pytest

from libs.version import VERSION

from .rendered import CONF, ROOT, Manifests, containers, environment, pod_spec


class Instruction(NamedTuple):
    stage: int
    name: str
    rest: str


def _instructions() -> list[Instruction]:
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found: list[Instruction] = []
    stage = -1
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(stage, name, rest.strip()))
    return found


INSTRUCTIONS = _instructions()
LAST_STAGE = INSTRUCTIONS[-1].stage


def _of(name: str, stage: int | None = None) -> list[str]:
    return [i.rest for i in INSTRUCTIONS if i.name == name and stage in (None, i.stage)]


def _copied_from_context() -> list[str]:
    sources = []
    for rest in _of("COPY"):
        words = shlex.split(rest)
        if not any(word.startswith("--from") for word in words):
            sources += [word for word in words[:-1] if not word.startswith("--")]
    return sources


def test_it_builds_in_one_stage_and_runs_in_another() -> None:
    build, final = _of("FROM")

    assert build == "python:3.11-slim AS build"
    assert final == "python:3.11-slim"
    assert _of("RUN", LAST_STAGE) == []  # nothing is installed, compiled or downloaded into what runs
    assert [rest for rest in _of("COPY", LAST_STAGE) if rest.startswith("--from=build ")]


def test_what_is_installed_has_the_tested_versions_and_nothing_newer() -> None:
    (run,) = _of("RUN")
    steps = [shlex.split(step) for step in run.split("&&")]

    (wheel,) = [step for step in steps if step[:2] == ["pip", "wheel"]]
    assert wheel[wheel.index("-c") + 1] == "constraints.txt"
    assert "constraints.txt" in _copied_from_context()
    (install,) = [step for step in steps if "install" in step]
    assert "--no-index" in install  # the wheels just made, or nothing


def test_it_runs_as_the_user_the_manifests_expect(prod: Manifests) -> None:
    (user,) = _of("USER")

    assert user == "10001:10001"
    for deployment in prod.deployments():
        security = pod_spec(deployment)["securityContext"]
        assert f"{security['runAsUser']}:{security['runAsGroup']}" == user
    # Nothing after it changes the user back or writes files.
    after = [i.name for i in INSTRUCTIONS][[i.name for i in INSTRUCTIONS].index("USER") + 1 :]
    assert set(after) <= {"WORKDIR", "ENTRYPOINT", "CMD"}


def test_it_is_the_kafra_command_and_kubernetes_adds_arguments_only(prod: Manifests) -> None:
    assert [json.loads(rest) for rest in _of("ENTRYPOINT")] == [["kafra"]]
    assert [json.loads(rest) for rest in _of("CMD")] == [["--help"]]
    for deployment in prod.deployments():
        for container in containers(deployment):
            assert "command" not in container
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert "kafra" in tomllib.load(file)["project"]["scripts"]


def test_nothing_is_fetched_from_an_address_and_no_health_check_is_doubled() -> None:
    assert _of("ADD") == []
    assert _of("HEALTHCHECK") == []
    assert "://" not in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("source", _copied_from_context())
def test_every_source_exists_and_reaches_the_build(source: str) -> None:
    path = source.removeprefix("./")

    assert (ROOT / path).exists()
    assert not _ignored(path)


@pytest.mark.parametrize("path", [".git", ".venv", "tests", "deploy", "a-secret.txt", "libs/__pycache__"])
def test_what_the_image_has_no_use_for_stays_out_of_the_build(path: str) -> None:
    assert _ignored(path)


def test_the_configuration_is_where_kafra_looks_for_it(prod: Manifests) -> None:
    (target,) = [shlex.split(r)[-1] for r in _of("COPY", LAST_STAGE) if r.startswith(f"conf/{CONF.name} ")]
    (variables,) = _of("ENV", LAST_STAGE)

    assert f"KAFRA_CONFIG={target}" in shlex.split(variables)
    for deployment in prod.deployments():
        for container in containers(deployment):
            assert environment(container)["KAFRA_CONFIG"] == target


def test_the_labels_and_the_tag_tell_the_version_of_the_project(dev: Manifests) -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    (rest,) = _of("LABEL")
    labels = dict(word.split("=", 1) for word in shlex.split(rest))

    assert labels == {
        "org.opencontainers.image.title": project["name"],
        "org.opencontainers.image.description": project["description"],
        "org.opencontainers.image.version": VERSION,
        "org.opencontainers.image.licenses": project["license"],
    }
    images = {c["image"] for deployment in dev.deployments() for c in containers(deployment)}
    assert images == {f"kafra:{VERSION}"}


def _ignored(path: str) -> bool:
    """As the builder reads .dockerignore: the last line that matches the path or one of its parents decides."""
    ignored = False
    parts = path.split("/")
    prefixes = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        candidates = [p.rpartition("/")[2] for p in prefixes] if pattern.startswith("**/") else prefixes
        if any(_matches(candidate, pattern.removeprefix("**/")) for candidate in candidates):
            ignored = not line.startswith("!")
    return ignored


def _matches(path: str, pattern: str) -> bool:
    return path.count("/") == pattern.count("/") and fnmatch(path, pattern)
