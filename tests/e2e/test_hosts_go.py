"""Hosts that die, drain, cheat and are forgiven: on the real system, each of their maps is served by another in the end."""

from pathlib import Path

import nats
import pytest
from harness import System, running, tell, until
from judges import judged
from players import Players

from libs.events import HostDown, HostId, HostUp, HostVerdict, MapAssign, MapName, OpsBan, OpsDrain, encode, headers_for
from libs.hosting.effects import Append, Committed

pytestmark = pytest.mark.nats

STRONG, WEAK = 16, 4
"""Cores: the strong host is chosen first, the weak ones stand by."""
SOON = {"KAFRA__SECURITY__BLACKLIST_S": "2", "KAFRA__SECURITY__STRIKES_MAX": "2"}


async def fill(system: System, count: int) -> list[str]:
    """`count` maps with players on them, all on hosts."""
    players, names = Players(system.bus, [], seed=1), [f"b_fild{number:03}" for number in range(count)]
    for name in names:
        players.enter(name)
    await players.settled()
    await until(lambda: all(system.server_of(name) not in (None, "vps") for name in names), f"{count} maps are on hosts")
    return names


async def ready_backups(system: System, names: list[str]) -> None:
    """Each map has a warm backup that could take it at once."""

    def all_ready() -> bool:
        for name in names:
            assign = system.world.map(MapName(name)).assign
            up = system.world.host(assign.backups[0]).up if assign and assign.backups else None
            if up is None or name not in up.ready_maps:
                return False
        return True

    await until(all_ready, "every map has a warm backup")


def assignments_of(system: System, name: str) -> list[MapAssign]:
    return [fact.event for fact in system.assigned if isinstance(fact.event, MapAssign) and fact.event.map == name]


async def test_a_host_with_many_maps_dies_and_all_of_them_move_to_warm_backups(tmp_path: Path):
    async with running(tmp_path) as system:
        dying = await system.add_host("strong", cores=STRONG, number=1)
        for number, name in enumerate(("weak1", "weak2", "weak3"), 2):
            await system.add_host(name, cores=WEAK, number=number)
        await system.trusted("strong", "weak1", "weak2", "weak3")
        names = await fill(system, 40)
        await ready_backups(system, names)
        served = system.served_by("strong")

        await dying.vanish()
        took_s = await until(lambda: not system.served_by("strong"), "the dead host serves nothing")

        tell(f"{len(served)} maps of one host moved {took_s:.2f} s after it vanished")
        assert len(served) > 20
        assert all(system.server_of(name) not in ("strong", "vps", None) for name in served)
        assert all(assignments_of(system, name)[-1].reason in ("failover", "rebalance") for name in served)
        down = system.world.host(dying.id).down
        assert down is not None
        assert down.reason in ("lost", "silent")
        await system.quiet()
        await judged(system)


async def test_a_draining_host_loses_its_maps_in_order_and_then_is_down(tmp_path: Path):
    async with running(tmp_path) as system:
        await system.add_host("strong", cores=STRONG, number=1)
        await system.add_host("weak", cores=WEAK, number=2)
        await system.trusted("strong", "weak")
        names = await fill(system, 8)
        await ready_backups(system, names)

        drain = OpsDrain(host=HostId("strong"), at_ms=system.clock.now_ms(), draining=True, by="a test")
        assert isinstance(await system.bus.append(Append(drain, None)), Committed)
        await until(lambda: not system.world.host(HostId("strong")).is_up, "the drained host is down")

        assert not system.served_by("strong")
        assert {assignments_of(system, name)[-1].reason for name in names} == {"drain"}
        assert {system.server_of(name) for name in names} == {"weak"}
        down = system.world.host(HostId("strong")).down
        assert down is not None
        assert down.reason == "drained"
        assert down.disconnects_ms == [], "an orderly end is no disconnect"
        await system.quiet()
        await judged(system)


async def test_a_cheat_is_taken_down_with_evidence_and_forgiven_when_its_time_is_over(tmp_path: Path):
    async with running(tmp_path, settings=SOON) as system:
        cheat = await system.add_host("cheat", cores=STRONG, number=1)
        await system.add_host("honest", cores=WEAK, number=2)
        await system.trusted("cheat", "honest")
        names = await fill(system, 6)
        heard: list[HostVerdict | HostUp | HostDown] = []

        cheat.agent.honest = False
        await until(lambda: _verdict(system, "cheat").verdict == "blacklist", "the cheat is blacklisted")
        heard.append(_verdict(system, "cheat"))
        await until(lambda: not system.served_by("cheat"), "its maps went elsewhere")
        cheat.agent.honest = True
        took_s = await until(lambda: system.is_trusted(cheat.id), "it is up and trusted again")

        verdict = heard[0]
        assert isinstance(verdict, HostVerdict)
        assert verdict.evidence["expected"] != verdict.evidence["answered"]
        assert verdict.blacklisted_until_ms is not None
        assert verdict.trust == 0
        down, up = system.world.host(cheat.id).down, system.world.host(cheat.id).up
        assert down is not None
        assert down.reason == "blacklisted"
        assert up is not None
        assert up.at_ms >= verdict.blacklisted_until_ms, "not before the exclusion has ended"
        assert {system.server_of(name) for name in names} & {"honest", "vps"}
        assert _verdict(system, "honest").strikes == 0
        tell(f"blacklisted for 2 s, trusted again {took_s:.2f} s after its maps had moved")
        await system.quiet()
        await judged(system)


def _verdict(system: System, host: str) -> HostVerdict:
    verdict = system.world.host(HostId(host)).verdict
    assert verdict is not None
    return verdict


async def test_a_banned_host_goes_and_a_map_in_never_stays_on_the_vps(tmp_path: Path):
    async with running(tmp_path, settings={"KAFRA__MAPS__NEVER": "mvp_fild*"}) as system:
        await system.add_host("h1", number=1)
        await system.trusted("h1")
        players = Players(system.bus, [], seed=1)
        for name in ("mvp_fild01", "c_fild01", "unheard_of"):
            players.enter(name)
        await until(lambda: system.server_of("c_fild01") == "h1", "the field is on the host")
        await until(lambda: system.server_of("mvp_fild01") and system.server_of("unheard_of"), "the others are assigned")

        ban = OpsBan(host=HostId("h1"), at_ms=system.clock.now_ms(), until_ms=None, reason="a test", by="a test")
        await system.bus.append(Append(ban, None))
        await until(lambda: system.server_of("c_fild01") == "vps", "the banned host's map is on the VPS")
        await until(lambda: not system.world.host(HostId("h1")).is_up, "the banned host is down")

        for name in ("mvp_fild01", "unheard_of"):
            assert [assign.kind for assign in assignments_of(system, name)] == ["vps"]
            assert assignments_of(system, name)[0].refused == {"map_not_eligible": 1}
        await system.quiet()
        await judged(system)


async def test_a_trace_goes_on_from_map_enter_to_map_assign(tmp_path: Path):
    trace_id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    async with running(tmp_path) as system:
        enter = Players(system.bus, [], seed=1).made("d_fild01")
        client = await nats.connect(system.url)
        headers = headers_for(enter, f"00-{trace_id}-{parent}-01") | {"Nats-Msg-Id": "a-test"}
        await client.jetstream().publish("map.enter.d_fild01", encode(enter), headers=headers)
        await client.close()

        await until(lambda: system.server_of("d_fild01") is not None, "the map is assigned")

        assert [(fact.trace or "").split("-")[1] for fact in system.assigned] == [trace_id]
