"""What vouches for the hosts of a cluster: made once, signs, and takes back; the real server reads what it writes."""

import asyncio
import json
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from click.testing import Result
from host_land import cluster_node, settled_land
from typer.testing import CliRunner

from libs.bus.errors import AuthorizationFailed
from libs.bus.nats import connect
from libs.identity import tokens
from libs.identity.authority import ACCOUNT_KEY, CONFIG, HOSTS, OPERATOR, SERVICES, issue, make_authority, revoke
from libs.identity.keys import BadKey, Kind, make_seed, public_key_of, write_secret
from services.ops.cli import app

NOW_S = int(time.time())


@pytest.mark.nats
async def test_who_is_revoked_is_out_as_soon_as_the_server_reads_it_and_nobody_else(tmp_path: Path, eventually):
    authority = tmp_path / "authority"
    make_authority(authority, NOW_S)
    with cluster_node(tmp_path, authority / CONFIG) as node:
        land = settled_land(node, tmp_path, authority, NOW_S)
        ours, h1, h2 = await land.bus(), await land.agent("h1"), await land.agent("h2")

        revoke(authority, land.keys["h1"], NOW_S)
        os.kill(node.pid, signal.SIGHUP)
        await eventually(lambda: not h1.connected)

        with pytest.raises(AuthorizationFailed):
            await connect(land.url, name="h1", credentials=land.hosts["h1"])
        for kept in (ours, h2):
            assert await kept.ping(5) < 5
        await land.close()


def test_an_authority_is_made_once(tmp_path: Path):
    make_authority(tmp_path, NOW_S)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(FileExistsError):
        make_authority(tmp_path, NOW_S)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert set(before) == {CONFIG, SERVICES, HOSTS, ACCOUNT_KEY, OPERATOR}
    for secret in (SERVICES, HOSTS, OPERATOR):
        assert (tmp_path / secret).stat().st_mode & 0o777 == 0o600


def test_what_nats_reads_holds_no_secret(tmp_path: Path):
    make_authority(tmp_path, NOW_S)

    public = (tmp_path / CONFIG).read_text() + (tmp_path / ACCOUNT_KEY).read_text()

    for secret in (HOSTS, OPERATOR):
        assert (tmp_path / secret).read_text().strip() not in public
    assert "SEED" not in public


def test_revoking_one_after_the_other_keeps_both_out(tmp_path: Path):
    make_authority(tmp_path, NOW_S)
    keys = [public_key_of(make_seed(Kind.USER)) for _ in range(2)]

    for number, key in enumerate(keys):
        revoke(tmp_path, key, NOW_S + number)

    assert revoked_in(tmp_path) == {keys[0]: NOW_S, keys[1]: NOW_S + 1}


@pytest.mark.parametrize("missing", [HOSTS, ACCOUNT_KEY])
def test_an_authority_that_is_not_whole_signs_nothing(tmp_path: Path, missing: str):
    make_authority(tmp_path, NOW_S)
    (tmp_path / missing).unlink()

    with pytest.raises(FileNotFoundError, match=missing):
        issue(tmp_path, "h1", public_key_of(make_seed(Kind.USER)), NOW_S)


@pytest.mark.parametrize(
    ("name", "content"), [(CONFIG, "operator: x"), (CONFIG, ""), (OPERATOR, ""), (OPERATOR, "SOnotaseed"), (HOSTS, "x")]
)
def test_a_spoilt_authority_changes_nothing(tmp_path: Path, name: str, content: str):
    make_authority(tmp_path, NOW_S)
    (tmp_path / name).write_text(content)
    before = (tmp_path / CONFIG).read_bytes()

    key = public_key_of(make_seed(Kind.USER))
    act = partial(issue, tmp_path, "h1", key, NOW_S) if name == HOSTS else partial(revoke, tmp_path, key, NOW_S)
    with pytest.raises(BadKey):
        act()

    assert (tmp_path / CONFIG).read_bytes() == before


@pytest.mark.nats
def test_the_commands_let_a_host_into_a_cluster_and_out_of_it(tmp_path: Path):
    authority, seed = tmp_path / "authority", make_seed(Kind.USER)
    key, other = public_key_of(seed), public_key_of(make_seed(Kind.USER))
    assert run("authority", authority).exit_code == 0
    with cluster_node(tmp_path, authority / CONFIG) as node:
        url = f"nats://127.0.0.1:{node.port}"
        asyncio.run(make_streams(url, authority / SERVICES))
        where = ("--authority", authority, "--nats", url, "--credentials", authority / SERVICES)

        added = run("add", "h1", "--key", key, "--account", 7, "--json", *where)
        token = Path(json.loads(added.stdout)["token"]).read_text()
        write_secret(tmp_path / "h1.creds", tokens.credentials(token.strip(), seed))
        got_in = asyncio.run(may_connect(url, tmp_path / "h1.creds"))
        replaced = run("add", "h1", "--key", other, "--account", 7, "--replace", *where)
        removed = run("remove", "h1", *where)
        os.kill(node.pid, signal.SIGHUP)
        deadline = time.monotonic() + 20
        while asyncio.run(may_connect(url, tmp_path / "h1.creds")):
            assert time.monotonic() < deadline, "the replaced key still gets in"

    assert got_in
    assert [each.exit_code for each in (added, replaced, removed)] == [0, 0, 0]
    revoked = revoked_in(authority)
    assert set(revoked) == {key, other}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["hosts", *map(str, arguments)])


async def make_streams(url: str, credentials: Path) -> None:
    bus = await connect(url, name="ours", credentials=credentials)
    await bus.ensure_streams(1)
    await bus.close()


async def may_connect(url: str, credentials: Path) -> bool:
    try:
        await (await connect(url, name="h1", credentials=credentials, inbox_prefix="_INBOX_h1")).close()
    except AuthorizationFailed:
        return False
    return True


def revoked_in(authority: Path) -> dict[str, int]:
    words = (authority / CONFIG).read_text().replace('"', " ").replace(",", " ").split()
    (account,) = [claims for word in words if word.count(".") == 2 and (claims := tokens.decode(word))["name"] == "KAFRA"]
    return account["nats"]["revocations"]
