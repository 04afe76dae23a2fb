"""The connection between bridge and relay: who has the authority's certificate speaks, and nobody else."""

import ssl
import stat
from pathlib import Path

import pytest

from libs.link.certifying import make_authority
from libs.link.dialer import Dialer
from libs.link.messages import BridgeSays, Closed, Hold, RelaySays
from libs.link.peer import serve
from libs.link.tls import BRIDGE, RELAY, BadIdentity, client_context, server_context
from tests.conftest import Eventually
from tests.rathena.link_peers import HELLO, Heard, dialed


def test_keys_are_readable_by_their_owner_alone(tmp_path: Path):
    made = make_authority(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == [BRIDGE, RELAY]
    for place in made.values():
        assert {path.name for path in place.iterdir()} == {"ca.pem", "cert.pem", "key.pem"}
        assert stat.S_IMODE((place / "key.pem").stat().st_mode) == 0o600
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_an_authority_made_anew_replaces_the_old_one(tmp_path: Path):
    before = (make_authority(tmp_path)[BRIDGE] / "ca.pem").read_bytes()

    after = (make_authority(tmp_path)[BRIDGE] / "ca.pem").read_bytes()

    assert before != after
    server_context(tmp_path / BRIDGE)


def test_a_directory_without_certificates_is_said_so(tmp_path: Path):
    made = make_authority(tmp_path)
    (made[RELAY] / "key.pem").write_text("nonsense")

    with pytest.raises(BadIdentity, match=str(tmp_path)):
        server_context(tmp_path / "nowhere")
    with pytest.raises(BadIdentity, match=str(made[RELAY])):
        client_context(made[RELAY])


async def test_both_ends_of_one_authority_speak(tmp_path: Path, eventually: Eventually):
    made, bridge = make_authority(tmp_path), Heard()
    listening = await serve("127.0.0.1:0", server_context(made[BRIDGE]), RelaySays, bridge.on_peer)

    async with dialed(listening.port, client_context(made[RELAY])) as (dialer, relay):
        await eventually(lambda: bridge.messages == [HELLO])
        bridge.peers[0].say(Hold(conn=1))
        assert dialer.say(Closed(conn=2))
        await eventually(lambda: relay.messages == [Hold(conn=1)] and bridge.messages == [HELLO, Closed(conn=2)])

    await eventually(lambda: bridge.lost == ["it closed the connection"])
    await listening.close()


@pytest.mark.parametrize("wrong", ["another authority", "another name", "none"])
async def test_a_relay_that_cannot_show_who_it_is_is_not_heard(tmp_path: Path, wrong: str, eventually: Eventually):
    ours, theirs = make_authority(tmp_path / "ours"), make_authority(tmp_path / "theirs")
    place = {"another authority": theirs[RELAY], "another name": ours[BRIDGE], "none": ours[RELAY]}[wrong]
    context = client_context(place)
    context.load_verify_locations(ours[RELAY] / "ca.pem")
    if wrong == "none":
        context = ssl.create_default_context(cafile=str(ours[RELAY] / "ca.pem"))
    bridge = Heard()
    listening = await serve("127.0.0.1:0", server_context(ours[BRIDGE]), RelaySays, bridge.on_peer)

    async with dialed(listening.port, context) as (_, relay):
        await eventually(lambda: len(relay.lost) > 1)

    assert bridge.peers == []
    await listening.close()


@pytest.mark.parametrize("wrong", ["another authority", "another name"])
async def test_a_bridge_that_cannot_show_who_it_is_is_told_nothing(
    tmp_path: Path, wrong: str, eventually: Eventually, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    ours, theirs = make_authority(tmp_path / "ours"), make_authority(tmp_path / "theirs")
    place = theirs[BRIDGE] if wrong == "another authority" else ours[RELAY]
    bridge = Heard()
    listening = await serve("127.0.0.1:0", server_context(place), RelaySays, bridge.on_peer)

    async with dialed(listening.port, client_context(ours[RELAY])) as (dialer, _):
        await eventually(lambda: "its certificate is not accepted" in caplog.text)
        assert not dialer.connected

    assert bridge.messages == []
    assert "127.0.0.1" not in caplog.text
    await listening.close()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.1:6126", "bridge.example.org:6126", "[::]:0"])
async def test_without_certificates_there_is_no_connection_between_machines(address: str):
    with pytest.raises(ValueError, match="one machine only"):
        await serve(address, None, RelaySays, Heard().on_peer)
    with pytest.raises(ValueError, match="one machine only"):
        Dialer(address, None, BridgeSays, hello=list, on_message=lambda _: None)
