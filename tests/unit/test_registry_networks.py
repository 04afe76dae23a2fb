"""services/registry: in which network a host is that names no address of its own: backups are to be in another (DESIGN 6)."""

from services.registry.facts import network_of
from tests.unit.builders import host_up
from tests.unit.registry_bench import Bench

HERE, THERE = "198.51.100.7", "203.0.113.7"


def test_a_host_behind_a_router_is_in_the_network_it_connects_from() -> None:
    bench = Bench()
    bench.connection(True, address=HERE)

    bench.beat(address=None)

    assert bench.ups[-1].network == network_of(HERE)
    assert HERE not in repr(bench.events), "the network has a name of its own: nobody's address is said"


def test_a_host_that_names_its_address_is_there() -> None:
    bench = Bench()
    bench.connection(True, address=HERE)

    bench.beat(address=THERE)

    assert bench.ups[-1].network == network_of(THERE)


def test_hosts_of_one_network_are_known_as_such_and_others_are_told_apart() -> None:
    bench = Bench()
    for number, (host, address) in enumerate({"h1": HERE, "h2": "198.51.100.200", "h3": THERE}.items()):
        bench.connection(True, host, number, address=address)
        bench.beat(host, address=None)

    networks = {up.host: up.network for up in bench.ups}
    assert networks["h1"] == networks["h2"] != networks["h3"]


def test_another_network_is_said_at_once_and_an_older_connection_s_word_is_not() -> None:
    bench = Bench()
    bench.connection(True, number=2, address=HERE)
    bench.beat(address=None)

    bench.connection(True, number=3, address=THERE)
    assert [up.network for up in bench.ups] == [network_of(HERE), network_of(THERE)]

    bench.connection(True, number=2, address=HERE)  # told again while it lasts
    bench.connection(False, number=3, address=THERE)
    bench.beat(address=None)
    assert len(bench.ups) == 2


def test_a_registry_that_was_not_told_goes_by_what_was_said_before() -> None:
    bench = Bench()
    bench.log.say(host_up("h1", network=network_of(HERE)))

    bench.beat(address=None, latency_ms=29.0)
    assert {up.network for up in bench.ups} <= {network_of(HERE)}
    bench.registry.on_gap(bench.now_ms)
    bench.beat(address=None, cpu_cores=8)

    assert bench.ups[-1].network == network_of(HERE)


def test_where_nobody_tells_all_share_one() -> None:
    bench = Bench()

    bench.beat(address=None)

    assert bench.ups[-1].network == "unknown"
