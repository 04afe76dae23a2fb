"""kafra agent doctor on a real nats-server: its table, its JSON, its exit codes, and that it makes the machine no host."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agents import Operator, Validating, run_agent
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.bus.embedded import EmbeddedServer
from libs.bus.nats import connect
from libs.config import HostRequirements, Settings
from libs.events import HostId, HostMetrics, HostSpeed, Region
from libs.hosting.eligibility import accepted_spec, unmet_requirements
from libs.identity.accounts import User
from services.agent.core import Measured
from services.agent.diagnosis import REQUIREMENTS, Diagnosis

EASY = HostRequirements(
    cpu_min_ghz=0.1,
    cpu_min_cores=1,
    ram_min_mb=1,
    net_min_speed=0.1,
    net_max_latency=1000,
    max_jitter_ms=1000,
    min_packet_rate=1,
)
HARD = HostRequirements(cpu_min_cores=256)
NOBODY = "nats://127.0.0.1:1"


@pytest.fixture
async def easy(nats_server: EmbeddedServer) -> AsyncIterator[Validating]:
    async for validating in answering(nats_server, EASY):
        yield validating


@pytest.fixture
async def hard(nats_server: EmbeddedServer) -> AsyncIterator[Validating]:
    async for validating in answering(nats_server, HARD):
        yield validating


async def answering(server: EmbeddedServer, required: HostRequirements) -> AsyncIterator[Validating]:
    bus = await connect(server.url, name="validator-1")
    relay = f"127.0.0.1:{server.port}"  # something that listens
    validating = Validating(Settings(host_requirements=required, regions={"eu": relay, "us": "127.0.0.1:1"}))
    await bus.answer(HostSpeed, validating.on_asked, queue="validator")
    yield validating
    await bus.close()


def by_name(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["requirement"]: row for row in said["requirements"]}


@pytest.mark.nats
@pytest.mark.usefixtures("easy")
async def test_a_fit_machine(nats_server: EmbeddedServer):
    code, out, err = await run_agent("doctor", "--nats", nats_server.url, "--json")
    said = json.loads(out)
    rows = by_name(said)

    assert (code, err) == (0, "")
    assert (said["answers"], said["accepted"], said["fit"], said["limits"]) == (True, True, True, "server")
    assert [name for name, row in rows.items() if row["met"] is not True] == ["max_disconnects_per_hour"]
    assert rows["cpu_min_ghz"]["needed"] == 0.1
    assert said["bundle_named"] is False
    assert all(row["value"] > 0 for name, row in rows.items() if row["met"])
    assert said["region_rtt_ms"]["eu"] > 0
    assert said["region_rtt_ms"]["us"] is None


@pytest.mark.nats
@pytest.mark.usefixtures("hard")
async def test_an_unfit_machine_is_told_why_and_what_to_do(nats_server: EmbeddedServer):
    code, out, _ = await run_agent("doctor", "--nats", nats_server.url)

    assert code == 1
    line = next(line for line in out.splitlines() if line.startswith("processor's cores"))
    assert "at least 256" in line
    assert " no " in line
    assert "a machine with more cores" in line
    assert "not accepted: " in out


@pytest.mark.nats
async def test_where_nothing_answers_the_local_part_is_shown():
    code, out, _ = await run_agent("doctor", "--nats", NOBODY)
    json_code, json_out, _ = await run_agent("doctor", "--nats", "nats://user:secret@127.0.0.1:1", "--json")
    rows = by_name(json.loads(json_out))

    assert (code, json_code) == (3, 3)
    assert "nothing answers at nats://127.0.0.1:1" in out
    assert "The limits are the shipped ones" in out
    assert rows["cpu_min_cores"]["value"] >= 1
    assert rows["cpu_min_cores"]["needed"] == HostRequirements().cpu_min_cores
    assert rows["net_max_latency"] | {"todo": ""} == {
        "requirement": "net_max_latency",
        "at": "most",
        "needed": 30.0,
        "value": None,
        "unit": "ms",
        "met": None,
        "todo": "",
    }
    assert "secret" not in json_out


@pytest.mark.nats
async def test_a_server_without_a_validator_does_not_answer(nats_server: EmbeddedServer):
    code, out, _ = await run_agent("doctor", "--nats", nats_server.url, "--json")
    said = json.loads(out)

    assert code == 3
    assert by_name(said)["net_max_latency"]["value"] > 0, "what NATS alone can show is shown"
    assert said["notes"] == ["network speed: nobody answers host.speed"]


@pytest.mark.nats
async def test_a_refused_identity_is_a_finding(tmp_path: Path):
    server = EmbeddedServer(tmp_path / "nats", users=[User("a", "b")])
    await server.start()
    (tmp_path / "wrong").write_text("a:c\n")
    try:
        code, out, _ = await run_agent("doctor", "--nats", server.url, "--seed", str(tmp_path / "wrong"))
    finally:
        await server.stop()

    assert code == 1
    assert "does not accept this identity" in out
    assert "processor's clock" in out


@pytest.mark.nats
async def test_a_missing_seed_is_a_finding(nats_server: EmbeddedServer, tmp_path: Path):
    code, out, _ = await run_agent("doctor", "--nats", nats_server.url, "--seed", str(tmp_path / "none"))

    assert code == 1
    assert "No such file or directory" in out
    assert out.splitlines()[-1].startswith("this machine has no key: kafra agent enroll makes one")


@pytest.mark.nats
async def test_who_never_enrolled_is_told_to(tmp_path: Path):
    server = EmbeddedServer(tmp_path / "nats", users=[User("a", "b")])
    await server.start()
    try:
        code, out, _ = await run_agent("doctor", "--nats", server.url)
        named = f"nats://a:c@127.0.0.1:{server.port}"
        other_code, other, _ = await run_agent("doctor", "--nats", named)
    finally:
        await server.stop()

    assert (code, other_code) == (1, 1)
    assert out.splitlines()[-1].startswith("this machine has no key: kafra agent enroll makes one")
    assert other.splitlines()[-1].endswith("does not accept this identity: ask the operator")


@pytest.mark.nats
@pytest.mark.usefixtures("easy")
async def test_the_doctor_makes_the_machine_no_host(nats_server: EmbeddedServer, operator: Operator):
    await run_agent("doctor", "--nats", nats_server.url, "--host-id", "my_pc")
    await operator.bus.ping(5.0)

    assert operator.beats == []


def values(low: float, high: float) -> st.SearchStrategy[float | None]:
    return st.none() | st.floats(low, high)


@given(
    st.builds(
        Measured,
        cpu_ghz=values(0, 10),
        cpu_cores=st.none() | st.integers(0, 64),
        free_ram_mb=values(0, 100_000),
        net_mbps=values(0, 2_000),
        latency_ms=values(0, 100),
        jitter_ms=values(0, 100),
        packet_rate=values(0, 1_000),
    )
)
@settings(derandomize=True, deadline=None, database=None)
def test_the_doctor_and_the_registry_judge_alike(measured: Measured):
    metrics = HostMetrics(
        host=HostId("h"),
        account_id=1,
        at_ms=1,
        seq=1,
        address=None,
        port=1,
        region=Region("eu"),
        cpu_ghz=measured.cpu_ghz,
        cpu_cores=measured.cpu_cores,
        free_ram_mb=measured.free_ram_mb,
        net_mbps=measured.net_mbps,
        latency_ms=measured.latency_ms,
        jitter_ms=measured.jitter_ms,
        packet_rate=measured.packet_rate,
        maps={},
        leaving=False,
    )
    rules = HostRequirements()
    unmet = unmet_requirements(accepted_spec(metrics, rules), 0, rules)

    diagnosis = Diagnosis("h", "nats://a", measured)

    assert {row.requirement.name for row in diagnosis.rows if row.met is False} == {item.requirement for item in unmet}
    assert diagnosis.fit is (not unmet)


@pytest.mark.parametrize(
    ("named", "said"), [(True, ""), (False, ", and gets maps once agent.toml names bundle_url and bundle_key")]
)
def test_a_fit_machine_is_told_what_it_needs_to_get_maps(named: bool, said: str):
    diagnosis = Diagnosis("h", "nats://a", Measured(), answers=True, bundle_named=named)

    assert diagnosis.verdict() == f"this machine would be accepted{said}"


def test_every_requirement_of_the_configuration_has_a_row():
    limits = {name for name in HostRequirements.model_fields if not name.startswith("slot")}

    assert {requirement.name for requirement in REQUIREMENTS} == limits
