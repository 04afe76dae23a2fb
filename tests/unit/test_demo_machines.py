"""The demo's simulated machines: mostly fit, each requirement missed by somebody, the same for the same seed."""

import random
from collections import Counter
from ipaddress import ip_address, ip_network

import pytest

from libs.events import MapName, MapReport, Region, decode, encode, subject_of
from services.agent.core import Agent, Identity
from services.ops.demo.machines import WEAKENED, Machine, Temper, machines

REGIONS = [Region("eu"), Region("na"), Region("sa"), Region("asia")]
SIMULATED_NETWORKS = [ip_network(network) for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15")]


def unmet(machine: Machine) -> set[str]:
    """The shipped host_requirements (DESIGN section 8) a machine misses; unmeasured counts as the worst allowed."""
    checks = {
        "cpu_min_ghz": machine.cpu_ghz >= 3.0,
        "cpu_min_cores": machine.cpu_cores >= 4,
        "ram_min_mb": machine.free_ram_mb >= 8192,
        "net_min_speed": machine.net_mbps >= 100,
        "net_max_latency": machine.latency_ms <= 30,
        "max_disconnects_per_hour": machine.disconnects_per_hour <= 1,
        "max_jitter_ms": machine.jitter_ms <= 15,
        "min_packet_rate": machine.packet_rate is None or machine.packet_rate >= 100,
    }
    return {name for name, met in checks.items() if not met}


@pytest.mark.parametrize("seed", range(5))
def test_each_requirement_is_missed_by_somebody_and_by_nobody_two(seed: int) -> None:
    made = machines(200, REGIONS, random.Random(seed))

    missed = Counter(name for machine in made for name in unmet(machine))
    assert set(missed) == set(WEAKENED)
    assert all(unmet(machine) == ({machine.weakness} if machine.weakness else set()) for machine in made)
    assert sum(machine.weakness is None for machine in made) == 170


@pytest.mark.parametrize("seed", range(5))
def test_few_have_a_temper(seed: int) -> None:
    tempers = Counter(machine.temper for machine in machines(200, REGIONS, random.Random(seed)))

    assert tempers == {Temper.STEADY: 174, Temper.LEAVER: 10, Temper.CRASHER: 10, Temper.CHEAT: 6}


def test_a_cheat_claims_more_than_it_has_and_nobody_else_does() -> None:
    for machine in machines(200, REGIONS, random.Random(3)):
        if machine.temper is Temper.CHEAT:
            assert machine.real_cpu_ghz < 0.6 * machine.cpu_ghz
        else:
            assert machine.real_cpu_ghz == machine.cpu_ghz


def test_the_same_seed_gives_the_same_machines() -> None:
    assert machines(50, REGIONS, random.Random(8)) == machines(50, REGIONS, random.Random(8))
    assert machines(50, REGIONS, random.Random(8)) != machines(50, REGIONS, random.Random(9))


def test_regions_are_shared_out_and_near_is_nearer_than_far() -> None:
    made = machines(200, REGIONS, random.Random(1))

    assert set(Counter(machine.region for machine in made).values()) == {50}
    for machine in made:
        assert set(machine.region_rtt_ms) == set(REGIONS)
        near_ms = machine.region_rtt_ms[machine.region]
        assert all(far_ms > near_ms for region, far_ms in machine.region_rtt_ms.items() if region != machine.region)


def test_they_are_named_simulated_and_live_where_no_real_machine_does() -> None:
    made = machines(2000, REGIONS, random.Random(1))

    assert all(machine.host.startswith("sim-") for machine in made)
    assert all(any(ip_address(machine.address) in network for network in SIMULATED_NETWORKS) for machine in made)
    for distinct in ("host", "address", "account_id"):
        assert len({getattr(machine, distinct) for machine in made}) == 2000


def test_among_two_hundred_several_networks_occur() -> None:
    made = machines(200, REGIONS, random.Random(1))

    assert len({machine.address.rsplit(".", 2)[0] for machine in made}) == 3
    for region in REGIONS:
        assert len({machine.address.rsplit(".", 2)[0] for machine in made if machine.region == region}) == 3


def test_a_machine_speaks_valid_metrics() -> None:
    maps = {MapName("pay_fild03"): MapReport(tenure=4, state="ready", players=2)}
    for number, machine in enumerate(machines(200, [*REGIONS, Region("r" * 32)], random.Random(1))):
        agent = Agent(Identity(machine.host, machine.account_id, machine.region))
        metrics = agent.metrics(machine.measured(), maps, 1_700_000_000_000, leaving=number % 2 == 0)

        assert decode(subject_of(metrics), encode(metrics)) == metrics
        assert (metrics.host, metrics.maps, metrics.cpu_ghz) == (machine.host, maps, machine.cpu_ghz)


def test_some_packet_rates_are_unmeasured() -> None:
    unmeasured = sum(machine.packet_rate is None for machine in machines(200, REGIONS, random.Random(1)))

    assert 1 <= unmeasured <= 20


def test_no_machines_are_no_machines() -> None:
    assert machines(0, REGIONS, random.Random(1)) == []
