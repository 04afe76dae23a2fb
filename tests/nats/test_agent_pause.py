"""Pause, resume and status of a real agent at a real nats-server, by the player's own commands."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from agents import BOUND_S, Operator, agent, flags, run_agent

from libs.bus.embedded import EmbeddedServer
from libs.events import HostId
from services.agent.places import Place

pytestmark = pytest.mark.nats
Eventually = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The agents' data directory."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "kafra"


async def pausing(operator: Operator, eventually: Eventually, *, paused: bool) -> None:
    """The next heartbeats say so."""
    since = len(operator.beats)
    await eventually(lambda: any(beat.leaving is paused for beat in operator.beats[since:]), BOUND_S)


async def test_a_paused_agent_says_so_and_lives_on_until_it_is_resumed(
    nats_server: EmbeddedServer, operator: Operator, eventually: Eventually
):
    async with agent(*flags(nats_server.url)) as running:
        await pausing(operator, eventually, paused=False)

        code, out, err = await run_agent("pause")
        assert (code, out, err) == (0, "h1 is paused: you paused it\n", "")
        await pausing(operator, eventually, paused=True)
        operator.order("h1")
        since = len(operator.beats)
        await eventually(lambda: len(operator.beats) > since + 10, BOUND_S)
        assert all(beat.leaving for beat in operator.beats[since:]), "and not only as a goodbye"
        assert running.process.returncode is None

        assert (await run_agent("resume"))[0] == 0
        await pausing(operator, eventually, paused=False)
        assert running.has_said("paused: you paused it") == 1
        assert running.has_said("goes on hosting") == 1
        running.process.terminate()
        assert await running.ended() == 0


async def test_a_pause_outlives_the_agent(nats_server: EmbeddedServer, operator: Operator, eventually: Eventually):
    async with agent(*flags(nats_server.url)) as running:
        await pausing(operator, eventually, paused=False)
        assert (await run_agent("pause", "--for", "1h"))[0] == 0
        await pausing(operator, eventually, paused=True)
        running.process.kill()
        await running.process.wait()

    code, _, err = await run_agent("status")
    assert (code, err) == (3, "no agent runs here; start it: kafra agent\n")
    said = len(operator.beats)
    async with agent(*flags(nats_server.url)):
        await eventually(lambda: len(operator.beats) > said + 2, BOUND_S)
        assert all(beat.leaving for beat in operator.beats[said:]), "from its first word on"
        assert (await run_agent("resume"))[0] == 0
        await pausing(operator, eventually, paused=False)


async def test_status_says_the_first_that_is_wrong(nats_server: EmbeddedServer, operator: Operator, eventually: Eventually):
    async with agent(*flags(nats_server.url)):
        await pausing(operator, eventually, paused=False)
        await eventually(lambda: Place(HostId("h1")).running() is not None, BOUND_S)

        async def status() -> tuple[int, str]:
            code, out, _ = await run_agent("status", "--json")
            return code, json.loads(out)["state"]

        assert await status() == (1, "unheard")
        operator.order("h1", notes=("cpu_min_ghz: 2.1, needed at least 3",))
        assert await eventually_is(status, (1, "unfit"))
        code, out, _ = await run_agent("status")
        assert code == 1
        assert "the server says: cpu_min_ghz: 2.1, needed at least 3" in out
        assert "to do: end what runs beside, leave power saving off" in out
        nats_server.kill()
        assert await eventually_is(status, (1, "not connected"))
        assert (await run_agent("pause"))[0] == 0
        assert await status() == (0, "paused")


async def eventually_is(status: Callable[[], Awaitable[tuple[int, str]]], wanted: tuple[int, str]) -> bool:
    async with asyncio.timeout(BOUND_S):
        while await status() != wanted:  # noqa: ASYNC110 - it is another process's
            await asyncio.sleep(0.05)
    return True


async def test_quiet_hours_and_a_floor_pause_it_by_themselves(
    nats_server: EmbeddedServer, operator: Operator, eventually: Eventually
):
    async with agent(*flags(nats_server.url, "--quiet", "00:00-24:00")) as running:
        await eventually(lambda: len(operator.beats) > 2, BOUND_S)
        assert all(beat.leaving for beat in operator.beats)
        assert (await run_agent("resume"))[1] == "h1 is paused: quiet hours, until 24:00\n"
        assert running.has_said("paused: quiet hours, until 24:00") == 1


async def test_a_page_that_cannot_be_had_does_not_end_the_agent(
    nats_server: EmbeddedServer, operator: Operator, eventually: Eventually
):
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    try:
        async with agent(*flags(nats_server.url, "--status-port", str(port))) as running:
            await pausing(operator, eventually, paused=False)
            assert running.has_said("no status page") == 1
            assert (await run_agent("status"))[0] == 3
            running.process.terminate()
            assert await running.ended() == 0
    finally:
        taken.close()


async def test_of_several_agents_one_has_to_be_named(nats_server: EmbeddedServer, operator: Operator, eventually: Eventually):
    more = ("--nats", nats_server.url, "--host-id", "h2", "--simulate")
    async with agent(*flags(nats_server.url)), agent(*more):
        await eventually(lambda: {beat.host for beat in operator.beats} == {"h1", "h2"}, BOUND_S)

        code, _, err = await run_agent("status")
        assert (code, err) == (3, "several agents run here, name one with --host-id: h1, h2\n")
        code, out, _ = await run_agent("status", "--host-id", "h2", "--json")
        assert json.loads(out)["host"] == "h2"
        code, _, err = await run_agent("status", "--host-id", "h3")
        assert (code, err) == (3, "no agent of h3 runs here; start it: kafra agent\n")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("pause", "--for", "soon"), 2, "a time, as 30m, 2h, 1h30m, 2d"),
        (("pause", "--for", "0s"), 2, "1s to 366d"),
        (("pause", "--for", "999d"), 2, "1s to 366d"),
        (("status", "--host-id", "a.b"), 2, "--host-id: 1 to 32 of"),
        (("status", "--config", "/nonexistent/agent.toml"), 1, "/nonexistent/agent.toml: No such file"),
        (("resume", "now"), 2, "unrecognized arguments"),
        (("run", "--quiet", "18-23"), 2, "--quiet: a list as"),
        (("run", "--cpu-ceiling", "101"), 2, "--cpu-ceiling: 0 to 100"),
    ],
)
async def test_what_was_not_meant_is_said(arguments: tuple[str, ...], code: int, words: str):
    ended, _, err = await run_agent(*arguments)

    assert ended == code
    assert words in err
    assert "Traceback" not in err
