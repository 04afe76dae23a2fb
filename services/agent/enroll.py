"""kafra agent enroll: makes this host's key, once, and says what the operator needs of it.

In: arguments. Out: a seed file only its owner reads, and one line for the operator. With a token from an operator whose NATS
runs in a cluster: the credentials file besides. The seed never leaves this machine.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from libs.config import ConfigError
from libs.identity import tokens
from libs.identity.keys import BadKey, Kind, make_seed, public_key_of, read_seed, write_secret
from libs.runtime.loop import EXIT_DONE, EXIT_FINDING
from services.agent.settings import AgentSettings, add_flags, default_file, settings_of

EXAMPLES: Final = """Example: kafra agent enroll --host-id my_pc --account 2000001
  kafra agent enroll --host-id my_pc --token my_pc.jwt      with what the operator of a cluster gave you
"""
TOKEN_BYTES_MAX: Final = 16 * 1024
"""Far above any real one."""


def main(arguments: list[str]) -> int:
    """Exit codes: 0 done, 1 a file is wrong or cannot be written, 2 an argument is."""
    parser = argparse.ArgumentParser(
        prog="kafra agent enroll",
        description="Makes this machine's key and shows what to give to the operator. Again: shows the same key.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser)
    parser.add_argument("--token", type=Path, metavar="FILE", help="the operator's token for this host: makes HOST.creds of it")
    parser.add_argument("--json", action="store_true", dest="as_json", help="JSON instead of text")
    try:
        given = parser.parse_args(arguments)
        settings = settings_of(parser, given)
        if settings.host_id is None:
            parser.error("--host-id is missing, and no file names a host_id")
        return _enroll(settings, given.token, given.as_json)
    except (ConfigError, BadKey) as error:
        sys.stderr.write(f"{error}\n")
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
    return EXIT_FINDING


def _enroll(settings: AgentSettings, token: Path | None, as_json: bool) -> int:
    assert settings.host_id is not None
    path = settings.seed or default_file().parent / f"{settings.host_id}.seed"
    seed, is_new = _seed(path)
    key = public_key_of(seed)
    said: dict[str, object] = {"host": settings.host_id, "key": key, "seed": str(path), "new": is_new}
    if token is not None:
        said["credentials"] = str(_credentials(settings.host_id, token, key, seed, path.with_suffix(".creds")))
    else:
        said["operator"] = (
            f"kafra hosts add {settings.host_id} --key {key} --account {settings.account_id or 'YOUR_ACCOUNT_ID'}"
        )
    sys.stdout.write(f"{json.dumps(said)}\n" if as_json else _text(said))
    return EXIT_DONE


def _seed(path: Path) -> tuple[str, bool]:
    """What is there is kept: it is this host. True: it is new.

    Raises:
        BadKey: there is something else, or others may read it.
        OSError: it cannot be read or written.
    """
    seed = make_seed(Kind.USER)
    try:
        write_secret(path, seed + "\n")
    except FileExistsError:
        return read_seed(path), False
    return seed, True


def _credentials(host: str, token: Path, key: str, seed: str, path: Path) -> Path:
    """
    Raises:
        BadKey: the token is another's, or there is another file in its place.
    """
    with token.open(encoding="utf-8", errors="replace") as file:
        text = file.read(TOKEN_BYTES_MAX).strip()
    claims = tokens.decode(text)
    if (claims.get("sub"), claims.get("name")) != (key, host):
        raise BadKey(f"{token} is not for {host} with the key in {path.with_suffix('.seed')}: give the operator the line anew")
    content = tokens.credentials(text, seed)
    try:
        write_secret(path, content)
    except FileExistsError:
        if path.read_text(encoding="utf-8", errors="replace") != content:
            raise BadKey(f"{path} is there already and holds something else; move it away first") from None
    return path


def _text(said: dict[str, object]) -> str:
    lines = [
        f"host   {said['host']}",
        f"key    {said['key']}",
        f"seed   {said['seed']} ({'new; keep it, and show it to nobody' if said['new'] else 'kept as it was'})",
    ]
    if "credentials" in said:
        lines += [
            f"creds  {said['credentials']}",
            "",
            f"Ready: kafra agent --host-id {said['host']} --seed {said['credentials']}",
        ]
    else:
        lines += ["", "Give this line to the operator of your server:", "", f"  {said['operator']}"]
    return "\n".join(lines) + "\n"
