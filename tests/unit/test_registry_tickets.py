"""services/registry: who gets a ticket for the bridge, when, and what is in it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.config import ConfigError, load
from libs.events import HostId, HostOrder, Link, LinkReport, NodeName
from libs.link.keys import SIGNER, TAKER, fingerprint_of, link_keys, verifying_key
from libs.link.tickets import LIFE_MS, verify
from libs.link.tls import CERT_FILE
from services.registry.core import Registry
from services.registry.shell import SERVICE, tickets_of
from tests.unit.builders import T0, assign
from tests.unit.registry_bench import Bench, report

KEY, OTHER_KEY = "ab" * 32, "cd" * 32


class Tickets:
    """Counts up."""

    def __init__(self) -> None:
        self.given: list[tuple[HostId, str, int]] = []

    def __call__(self, host: HostId, key: str, now_ms: int) -> Link:
        self.given.append((host, key, now_ms))
        return Link(address="192.0.2.1", port=6125, ticket=str(len(self.given)), certificate="00" * 32)


@pytest.fixture
def bench() -> Bench:
    """h1 is up and serves a_fild01."""
    bench = Bench()
    bench.tickets = Tickets()  # type: ignore[attr-defined]
    bench.registry = Registry(bench.settings, name=NodeName("registry-1"), started_ms=T0, tickets=bench.tickets)  # type: ignore[attr-defined]
    bench.registry.on_caught_up(T0)
    bench.registry.on_lease(1, T0)
    bench.beat()
    bench.log.say(assign("a_fild01", "h1"))
    return bench


def beat(bench: Bench, key: str | None, *, linked: bool = False, **values: Any) -> HostOrder | None:
    """The order it led to."""
    before = len(bench.orders)
    link = LinkReport(key=key, linked=linked) if key else None
    bench.beat(link=link, maps={"a_fild01": report(tenure=1)}, **values)
    return bench.orders[-1] if len(bench.orders) > before else None


def tickets(bench: Bench) -> list[str]:
    return [order.link.ticket for order in bench.orders if order.link is not None]


def test_an_agent_without_a_link_gets_a_ticket_for_its_key_at_once(bench: Bench) -> None:
    order = beat(bench, KEY)

    assert order is not None
    assert order.link is not None
    assert bench.tickets.given == [(HostId("h1"), KEY, bench.now_ms)]  # type: ignore[attr-defined]


def test_it_gets_another_when_the_first_led_to_nothing(bench: Bench) -> None:
    for _ in range(7):
        beat(bench, KEY)
        bench.wait(500)

    assert tickets(bench) == ["1", "2", "3", "4"]


def test_an_agent_with_a_link_gets_none(bench: Bench) -> None:
    for _ in range(30):
        beat(bench, KEY, linked=True)
        bench.wait(500)

    assert tickets(bench) == []


def test_an_agent_that_wants_none_gets_none(bench: Bench) -> None:
    for _ in range(30):
        beat(bench, None)
        bench.wait(500)

    assert tickets(bench) == []


def test_who_lost_his_link_gets_one_at_once(bench: Bench) -> None:
    beat(bench, KEY)
    beat(bench, KEY, linked=True)

    order = beat(bench, KEY)

    assert order is not None
    assert order.link is not None
    assert order.link.ticket == "2"


def test_another_process_of_the_host_gets_one_of_its_own_at_once(bench: Bench) -> None:
    beat(bench, KEY)

    beat(bench, OTHER_KEY)

    assert [key for _, key, _ in bench.tickets.given] == [KEY, OTHER_KEY]  # type: ignore[attr-defined]


def test_a_host_without_maps_gets_none(bench: Bench) -> None:
    bench.log.say(assign("a_fild01", None))

    for _ in range(30):
        bench.beat(link=LinkReport(key=KEY, linked=False))
        bench.wait(500)

    assert tickets(bench) == []


def test_without_keys_orders_have_no_link() -> None:
    bench = Bench()
    bench.beat()
    bench.log.say(assign("a_fild01", "h1"))

    beat(bench, KEY)

    assert tickets(bench) == []
    assert bench.orders[-1].maps


# -- registry.tickets, bridge.tickets, bridge.public --------------------------------------------------------------------------


def settings_with(tmp_path: Path, **more: str) -> Any:
    made = link_keys(tmp_path)
    environ = {"KAFRA__REGISTRY__TICKETS": str(made[SIGNER]), "KAFRA__BRIDGE__TICKETS": str(made[TAKER])}
    return load(None, environ | more)


def test_a_ticket_is_signed_with_the_configured_key_for_the_configured_bridge(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, KAFRA__BRIDGE__PUBLIC="bridge.example.org:7001")

    link = tickets_of(settings)(HostId("h1"), KEY, T0)
    other = tickets_of(settings)(HostId("h1"), KEY, T0)

    assert (link.address, link.port) == ("bridge.example.org", 7001)
    assert link.certificate == fingerprint_of(tmp_path / TAKER / CERT_FILE).hex()
    read = [
        verify(each.ticket, verifying_key(tmp_path / TAKER), purpose="link", host="h1", holder=KEY, now_ms=T0)
        for each in (link, other)
    ]
    assert read[0].nonce != read[1].nonce
    assert msgspec.structs.replace(read[0], nonce=read[1].nonce) == read[1]
    assert read[0].expires_ms == T0 + LIFE_MS


def test_keys_that_are_none_are_said_with_their_setting(tmp_path: Path) -> None:
    settings = load(None, {"KAFRA__REGISTRY__TICKETS": str(tmp_path)})

    with pytest.raises(ConfigError, match=r"registry\.tickets"):
        SERVICE.make_core(settings, NodeName("registry-1"), T0)


def test_where_the_keys_are_concerns_this_machine_alone(tmp_path: Path) -> None:
    assert settings_with(tmp_path).hash() == load(None, {}).hash()
