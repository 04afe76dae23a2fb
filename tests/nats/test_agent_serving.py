"""`kafra agent` and the operator's bundle: it looks when told to, says what it has, and says where it can serve nothing."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from agents import BOUND_S, MAP, Operator, agent, run_agent

from libs.bus.embedded import EmbeddedServer
from tests.bundle.bundle_maker import FILES, NOW_MS, PUBLIC, manifest_of, publish
from tests.bundle.bundle_web import web

pytestmark = pytest.mark.nats
Eventually = Callable[..., Awaitable[None]]


def flags(url: str, directory: Path) -> tuple[str, ...]:
    places = ("--bundle-store", str(directory / "bundles"), "--maps-dir", str(directory / "maps"))
    return ("--nats", url, "--host-id", "h1", "--account", "7", "--region", "eu", *places)


async def test_told_of_another_bundle_it_looks_at_once_and_later_serves_what_is_here(
    nats_server: EmbeddedServer, operator: Operator, tmp_path: Path, eventually: Eventually
):
    out, seen = tmp_path / "out", operator.beats
    publish(out)
    first = manifest_of(out).version
    async with web(out) as server:
        where = ("--bundle-url", server.url, "--bundle-key", PUBLIC)
        async with agent(*flags(nats_server.url, tmp_path), *where) as running:
            await eventually(lambda: seen and seen[-1].bundle == first, BOUND_S)
            assert all(beat.leaving is (beat.bundle is None) for beat in seen), "a host as soon as it has one"
            assert {beat.bundle_refused for beat in seen} == {None}, "fetching the first is no refusal"
            publish(out, {**FILES, "npc/fields.txt": b""}, now_ms=NOW_MS + 1_000)
            second = manifest_of(out).version
            for _ in range(3):
                operator.order("h1", notes=(f"bundle: {first}, needed {second}",))
            await eventually(lambda: seen[-1].bundle == second, BOUND_S)

            (out / "manifest.kafra").write_bytes(b"kafra")
            operator.order("h1", notes=(f"bundle: {second}, needed {'a' * 32}",))
            await eventually(lambda: (seen[-1].bundle_refused or "").startswith("signature: "), BOUND_S)
            assert (seen[-1].bundle, seen[-1].leaving) == (second, False)
            running.process.terminate()
            assert await running.ended() == 0
    since = len(seen)
    async with agent(*flags(nats_server.url, tmp_path)):
        await eventually(lambda: any(beat.bundle == second for beat in seen[since:]), BOUND_S)


async def test_without_a_bundle_every_order_has_failed_and_the_reason_is_said_once(
    nats_server: EmbeddedServer, operator: Operator, tmp_path: Path, eventually: Eventually
):
    async with agent(*flags(nats_server.url, tmp_path)) as running:
        await eventually(lambda: operator.beats, BOUND_S)
        assert all(beat.leaving for beat in operator.beats), "who can serve nothing is no host"
        assert operator.beats[-1].bundle_refused == "none: no bundle is here"
        for _ in range(3):
            operator.order("h1", MAP)

        await eventually(lambda: [report.state for report in operator.beats[-1].maps.values()] == ["failed"], BOUND_S)

        assert running.has_said("no map can be served: no bundle is here, and no bundle_url is known") == 1
        assert running.has_said("kafra agent bundle fetch brings one") == 1
        operator.order("h1")
        await eventually(lambda: not operator.beats[-1].maps, BOUND_S)
        code, out, _ = await run_agent("status")
        assert code == 1
        assert "no bundle that could be used" in out
        running.process.terminate()
        assert await running.ended() == 0
