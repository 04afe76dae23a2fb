"""What a host may say and hear on the real server, and that everything else is refused: with static users and with tokens."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from host_land import Land, signed_tokens, static_users
from nats.aio.client import Client
from nats.aio.msg import Msg

from libs.bus.errors import AuthorizationFailed
from libs.bus.nats import connect
from libs.bus.port import Connection
from libs.events import (
    CATALOG,
    HostCheck,
    HostCheckReply,
    HostDial,
    HostDialReply,
    HostId,
    HostOrder,
    HostSpeed,
    HostSpeedReply,
    MapAssign,
    MapName,
    OpsDrain,
    Stream,
    encode,
)
from libs.hosting.effects import Append, Committed
from libs.identity.keys import Kind, make_seed, write_secret
from tests.contract.event_examples import EXAMPLES

pytestmark = pytest.mark.nats

MAY_SAY = {"host.metrics", "host.speed"}
MAY_HEAR = {"host.order", "host.check", "host.dial"}
SUBJECTS = sorted(
    name if event.declaration.token is None else f"{name}.{token}"
    for name, event in CATALOG.items()
    for token in (("h1",) if event.declaration.token is None else ("h1", "h2"))
)
"""Of every event there is: of this host, and of another (or a map of that name)."""
NOT_SAID = [subject for subject in SUBJECTS if subject not in {f"{name}.h1" for name in MAY_SAY}] + [
    *("host.metrics.*", "host.metrics.>", "host.metrics.h1.x", ">", "anything"),
    *("_INBOX.abc.1", "_INBOX_h1.abc.1", "_INBOX_h2.abc.1", "$KV.LEASES.registry"),
    *("$JS.API.INFO", "$JS.API.STREAM.INFO.HOSTS", "$JS.API.STREAM.PURGE.METRICS", "$JS.API.STREAM.MSG.GET.ASSIGNMENTS"),
    *("$JS.API.CONSUMER.CREATE.HOSTS", "$JS.API.DIRECT.GET.KV_LEASES", "$JS.ACK.HOSTS.x.1.1.1.1.1", "$JS.FC.HOSTS.x"),
    *("$SYS.REQ.SERVER.PING", "$SYS.ACCOUNT.KAFRA.DISCONNECT", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$SRV.PING"),
]
NOT_HEARD = [subject for subject in SUBJECTS if subject not in {f"{name}.h1" for name in MAY_HEAR}] + [
    *(">", "*", "*.*", "*.*.*", "host.>", "host.*.h1", "host.order.*", "host.order.>", "host.check.*", "host.dial.*"),
    *("map.assign.*", "map.>", "ops.>", "host.up.*", "host.metrics.*"),
    *("_INBOX.>", "_INBOX_h2.>", "_INBOX_h2.*", "*.x"),
    *("$JS.>", "$JS.API.>", "$JS.EVENT.>", "$KV.>", "$SYS.>", "$SYS.ACCOUNT.KAFRA.CONNECT", "$SYS.ACCOUNT.*.DISCONNECT"),
]


@pytest.fixture(params=[static_users, signed_tokens], ids=["static users", "signed tokens"])
async def land(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Land]:
    async with request.param(tmp_path) as made:
        yield made


async def test_no_host_says_what_is_not_its_own(land: Land, eventually):
    ours = await land.bus()
    refusals: list[str] = []
    h1 = await land.stranger("h1", refusals)
    heard = await _hear_all(land)

    for number, subject in enumerate(NOT_SAID):
        await h1.publish(subject, b"forbidden")
        await _refused(refusals, number + 1, subject, eventually)
        assert "permissions violation for publish" in refusals[-1]
    await h1.publish("host.metrics.h1", b"allowed")
    await eventually(lambda: heard)

    assert heard == [("host.metrics.h1", b"allowed")]
    for stream in Stream:
        assert [fact.seq async for fact in ours.read(stream)] == ([1] if stream is Stream.METRICS else [])


async def test_no_host_hears_what_is_not_its_own(land: Land, eventually):
    refusals: list[str] = []
    heard: list[str] = []
    h1 = await land.stranger("h1", refusals)

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    for number, subject in enumerate(NOT_HEARD):
        await h1.subscribe(subject, queue="q" if number % 2 else "", cb=hear)
        await _refused(refusals, number + 1, subject, eventually)
        assert "permissions violation for subscription" in refusals[-1]
    await h1.subscribe("host.order.h1", cb=hear)
    await _answered(h1)
    ours = await land.ours()
    for subject in ("host.order.h2", "host.metrics.h2", "map.assign.x", "_INBOX_h2.a.1", "_INBOX.a.1", "host.order.h1"):
        await ours.publish(subject, b"for somebody")
    await eventually(lambda: heard)

    assert heard == ["host.order.h1"]


async def test_a_host_may_say_its_metrics_and_hear_its_orders(land: Land, eventually):
    ours, h1 = await land.bus(), await land.agent("h1")
    orders: list[HostOrder] = []
    metrics, order = _example("host.metrics"), _example("host.order")

    await h1.hear(HostOrder, orders.append, token="h1")
    h1.say(metrics)
    ours.say(order)
    await eventually(lambda: orders)

    assert orders == [order]
    await eventually(lambda: _kept(ours, Stream.METRICS))
    assert [fact.event async for fact in ours.read(Stream.METRICS)] == [metrics]


async def test_a_host_asks_for_its_speed_and_answers_checks_and_dials(land: Land):
    ours, h1 = await land.bus(), await land.agent("h1")

    async def transfer(asked: HostSpeed) -> HostSpeedReply:
        return HostSpeedReply(ok=True, payload=bytes(asked.size))

    async def prove(_: HostCheck) -> HostCheckReply:
        return HostCheckReply(proof="p")

    async def dial(_: HostDial) -> HostDialReply:
        return HostDialReply(ok=True)

    await ours.answer(HostSpeed, transfer)
    await h1.answer(HostCheck, prove, token="h1")
    await h1.answer(HostDial, dial, token="h1")

    speed = await h1.ask(HostSpeed(host=HostId("h1"), at_ms=1, step="down", size=4), 5)
    checks = [await ours.ask(_example("host.check"), 5) for _ in range(3)]

    assert speed == HostSpeedReply(ok=True, payload=bytes(4))
    assert checks == [HostCheckReply(proof="p")] * 3
    assert await ours.ask(_example("host.dial"), 5) == HostDialReply(ok=True)


async def test_a_request_is_answered_once_and_by_nobody_else(land: Land, eventually):
    refusals: list[str] = []
    strangers: list[str] = []
    h1, h2, ours = await land.stranger("h1", refusals), await land.stranger("h2", strangers), await land.ours()
    got: list[bytes] = []
    asked: list[str] = []

    async def on_check(message: Msg) -> None:
        asked.append(message.reply)
        for answer in (b"first", b"second"):
            await h1.publish(asked[0], answer)

    async def on_answer(message: Msg) -> None:
        got.append(message.data)

    await ours.subscribe("_INBOX.mine", cb=on_answer)
    await h1.subscribe("host.check.h1", cb=on_check)
    await _answered(h1)
    await ours.publish("host.check.h1", b"prove it", reply="_INBOX.mine")
    await eventually(lambda: asked)
    await h2.publish(asked[0], b"not mine to answer")
    await _answered(h1)
    await _answered(h2)
    await _answered(ours)

    assert got == [b"first"]
    await eventually(lambda: len(refusals) == len(strangers) == 1)


@pytest.mark.parametrize("said", ["host.metrics.h1", "host.speed.h1"])
async def test_no_answer_to_a_host_goes_where_it_does_not_belong(land: Land, eventually, said: str):
    """The server acknowledges what a stream keeps, a service answers a request; both to the subject the host names."""
    ours = await land.bus()
    assert await ours.append(Append(OpsDrain(host=HostId("h9"), at_ms=1, draining=True, by="t"), None)) == Committed(1)
    answered: list[HostSpeed] = []

    async def transfer(asked: HostSpeed) -> HostSpeedReply:
        answered.append(asked)
        return HostSpeedReply(ok=True)

    await ours.answer(HostSpeed, transfer)
    refusals: list[str] = []
    h1 = await land.stranger("h1", refusals)
    body = encode(_example("host.metrics") if said == "host.metrics.h1" else _speed())

    for reply in ("map.assign.prt", "host.down.h2", "$JS.API.STREAM.PURGE.HOSTS", "$KV.LEASES.registry"):
        for _ in range(3):
            await h1.publish(said, body, reply=reply)
    await _answered(h1)
    assert await h1.request("host.speed.h1", encode(_speed()), timeout=5)  # behind all of them

    assert [fact.seq async for fact in ours.read(Stream.HOSTS)] == [1]
    assert [fact.seq async for fact in ours.read(Stream.ASSIGNMENTS)] == []
    assert await ours.last(MapAssign, MapName("prt")) is None
    assert len(answered) == 1


async def test_the_server_names_the_key_whatever_the_host_calls_itself(land: Land, eventually):
    ours = await land.bus()
    told: list[Connection] = []
    await ours.watch_connections(told.append)

    liar = await land.stranger("h1", [])
    await liar.close()
    honest = await land.agent("h2")
    await honest.close()
    await eventually(lambda: len(told) == 4)

    assert [each.user for each in told] == [land.keys["h1"]] * 2 + [land.keys["h2"]] * 2
    assert [each.connected for each in told] == [True, False, True, False]


async def test_who_has_no_key_gets_in_nowhere(land: Land, tmp_path: Path):
    write_secret(tmp_path / "own.seed", make_seed(Kind.USER))

    for credentials in (None, tmp_path / "own.seed"):
        with pytest.raises(AuthorizationFailed):
            await connect(land.url, name="h1", credentials=credentials)


def _example(name: str) -> msgspec.Struct:
    (found,) = [event for event in EXAMPLES if event.declaration.name == name]
    return msgspec.structs.replace(found, host="h1")


def _speed() -> HostSpeed:
    return HostSpeed(host=HostId("h1"), at_ms=1, step="down", size=4)


async def _kept(bus, stream: Stream) -> bool:
    return bool([fact async for fact in bus.read(stream)])


async def _refused(refusals: list[str], count: int, what: str, eventually) -> None:
    try:
        await eventually(lambda: len(refusals) == count, 5)
    except TimeoutError:
        pytest.fail(f"{what} was not refused; {len(refusals)} refusals, wanted {count}")


async def _hear_all(land: Land) -> list[tuple[str, bytes]]:
    """Whatever is said in our account, as it comes, but the server's word of who connects."""
    heard: list[tuple[str, bytes]] = []
    ours = await land.ours()

    async def hear(message: Msg) -> None:
        if not message.subject.startswith("$SYS.ACCOUNT."):
            heard.append((message.subject, message.data))

    await ours.subscribe(">", cb=hear)
    await _answered(ours)
    return heard


async def _answered(client: Client) -> None:
    """The server has taken note of everything this client sent, and its refusals are here."""
    await client.flush(5)
    await asyncio.sleep(0)
