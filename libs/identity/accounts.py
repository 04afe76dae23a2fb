"""nats-server's accounts, as its configuration says them. In: users. Out: a fragment of nats-server.conf. Pure.

Two accounts: ours, where everything is said, and the server's own, of which ours sees one thing: who connects to us and whose
connection ends (`Bus.watch_connections`). Called by libs.bus.embedded; deploy/k8s/base/nats says the same by hand.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

ACCOUNT = "KAFRA"
SYSTEM_ACCOUNT = "SYS"
ANYONE = "anyone"
"""The user of whoever comes without credentials, where that is allowed."""
ADVISORIES = ("CONNECT", "DISCONNECT")
REPLY_EXPIRES_S = 10
"""A request may be answered this long; who asks waits less."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What one may publish to and subscribe to; everything else is refused. replies: how many messages may answer a request he
    received, within REPLY_EXPIRES_S, 0 for none."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    replies: int = 0


@dataclass(frozen=True, slots=True)
class User:
    """One who may connect: `name` with `password`, or the holder of the nkey whose public key `name` is. permissions None:
    everything within our account."""

    name: str
    password: str | None = None
    permissions: Permissions | None = None


def accounts_config(users: Sequence[User] | None) -> str:
    """The fragment. users None: no authorization, whoever comes may say everything. Other users may be loaded into a running
    server; whether there is authorization at all is settled at its start."""
    said = [User(ANYONE)] if users is None else users
    own = [f"$SYS.ACCOUNT.{ACCOUNT}.{advisory}" for advisory in ADVISORIES]
    accounts = {
        ACCOUNT: {
            "jetstream": "enabled",
            "users": [_user(user) for user in said],
            "imports": [{"stream": {"account": SYSTEM_ACCOUNT, "subject": subject}} for subject in own],
        },
        SYSTEM_ACCOUNT: {"exports": [{"stream": subject, "accounts": [ACCOUNT]} for subject in own]},
    }
    lines = [f"accounts: {json.dumps(accounts, indent=1)}", f"system_account: {SYSTEM_ACCOUNT}"]
    if users is None:
        lines.append(f"no_auth_user: {ANYONE}")
    return "\n".join(lines)


def _user(user: User) -> dict[str, object]:
    made: dict[str, object] = {"user": user.name, "password": user.password} if user.password is not None else {}
    if not made:
        made = {"user": user.name} if user.name == ANYONE else {"nkey": user.name}
    if user.permissions is not None:
        may: dict[str, object] = {
            "publish": {"allow": user.permissions.publish},
            "subscribe": {"allow": user.permissions.subscribe},
        }
        if user.permissions.replies:
            may["allow_responses"] = {"max": user.permissions.replies, "expires": f"{REPLY_EXPIRES_S}s"}
        made["permissions"] = may
    return made
