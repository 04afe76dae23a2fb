"""A directory that vouches for hosts of a cluster: made once, kept by the operator, never in the cluster as a whole.

    accounts.conf    nats-server reads it: who is trusted. Public, but whoever can change it decides
    services.creds   Kafra's own services sign in with it. Secret
    hosts.seed       signs hosts' tokens. Secret, and enough to let hosts in, together with account.key
    account.key      our account's public key
    operator.seed    signs accounts.conf: for removing hosts. Secret; keep it elsewhere

Called by `kafra hosts authority`, `add` and `remove`; deploy/k8s/README.md.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from libs.identity import tokens
from libs.identity.accounts import ACCOUNT
from libs.identity.keys import BadKey, Kind, make_seed, public_key_of, read_seed, write_secret

CONFIG, SERVICES, HOSTS, ACCOUNT_KEY, OPERATOR = "accounts.conf", "services.creds", "hosts.seed", "account.key", "operator.seed"
SERVICE_USER = "kafra"
_TOKENS = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")


def make_authority(directory: Path, now_s: int) -> None:
    """A new one.

    Raises:
        FileExistsError: there is one already; nothing is changed.
        OSError: it cannot be written.
    """
    if found := [name for name in (CONFIG, SERVICES, HOSTS, ACCOUNT_KEY, OPERATOR) if (directory / name).exists()]:
        raise FileExistsError(17, "there is one already; every host's token hangs on it", str(directory / found[0]))
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    operator, hosts, account_seed = make_seed(Kind.OPERATOR), make_seed(Kind.ACCOUNT), make_seed(Kind.ACCOUNT)
    system, account = public_key_of(make_seed(Kind.ACCOUNT)), public_key_of(account_seed)
    user = make_seed(Kind.USER)
    trusted = _Trusted(
        tokens.operator_token(operator, system, now_s),
        system,
        tokens.system_account_token(operator, system, now_s),
        account,
        tokens.account_token(operator, account, system, public_key_of(hosts), now_s),
    )
    own = tokens.service_token(account_seed, public_key_of(user), SERVICE_USER, now_s)
    write_secret(directory / SERVICES, tokens.credentials(own, user))
    write_secret(directory / HOSTS, hosts + "\n")
    write_secret(directory / OPERATOR, operator + "\n")
    (directory / ACCOUNT_KEY).write_text(account + "\n", encoding="utf-8")
    (directory / CONFIG).write_text(trusted.config(), encoding="utf-8")


def issue(directory: Path, host: str, key: str, now_s: int) -> str:
    """The token for a host's public key.

    Raises:
        BadKey, OSError: the directory is none of ours, or not whole.
    """
    account = (directory / ACCOUNT_KEY).read_text(encoding="utf-8").strip()
    return tokens.host_token(read_seed(directory / HOSTS), account, key, host, now_s)


def revoke(directory: Path, key: str, now_s: int) -> None:
    """From now on tokens for this key are worth nothing, where the new accounts.conf is read.

    Raises:
        BadKey, OSError: the directory is none of ours, or not whole.
    """
    operator = read_seed(directory / OPERATOR)
    trusted = _Trusted.read(directory / CONFIG)
    said = tokens.decode(trusted.account_token)["nats"]
    revoked = {**said.get("revocations", {}), key: now_s}
    (scope,) = said["signing_keys"]
    fresh = tokens.account_token(operator, trusted.account, trusted.system, scope["key"], now_s, revoked)
    changed = _Trusted(trusted.operator_token, trusted.system, trusted.system_token, trusted.account, fresh)
    written = directory / f"{CONFIG}.new"
    written.write_text(changed.config(), encoding="utf-8")
    written.replace(directory / CONFIG)


@dataclass(frozen=True, slots=True)
class _Trusted:
    """What accounts.conf says."""

    operator_token: str
    system: str
    system_token: str
    account: str
    account_token: str

    @classmethod
    def read(cls, path: Path) -> "_Trusted":
        found = {tokens.decode(token)["name"]: token for token in _TOKENS.findall(path.read_text(encoding="utf-8"))}
        if len(found) != 3 or ACCOUNT not in found:
            raise BadKey(f"{path} is none that `kafra hosts authority` made")
        account_token = found.pop(ACCOUNT)
        kinds = {tokens.decode(token)["nats"]["type"]: token for token in found.values()}
        system_token = kinds["account"]
        keys = [str(tokens.decode(token)["sub"]) for token in (system_token, account_token)]
        return cls(kinds["operator"], keys[0], system_token, keys[1], account_token)

    def config(self) -> str:
        preload = {self.system: self.system_token, self.account: self.account_token}
        return (
            "# Written by `kafra hosts authority`: whom nats-server trusts. No secret stands here.\n"
            f"operator: {self.operator_token}\n"
            f"system_account: {self.system}\n"
            "resolver: MEMORY\n"
            f"resolver_preload: {json.dumps(preload, indent=1)}\n"
        )
