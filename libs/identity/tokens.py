"""NATS's own tokens (JWT): an operator vouches for accounts, our account's signing key for hosts. So a cluster learns of a new
host without being told: whoever shows a token of that key has exactly the permissions of the key's template.

In: seeds, names, the time. Out: tokens, and nats-server's configuration that trusts them. Called by libs.identity.authority.
Source: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt (claims version 2).
"""

import base64
import hashlib
import json
from typing import Any

from libs.identity.accounts import ACCOUNT, ADVISORIES, REPLY_EXPIRES_S, SYSTEM_ACCOUNT
from libs.identity.keys import BadKey, public_key_of, sign
from libs.identity.permissions import TEMPLATE, host_permissions

VERSION = 2
UNLIMITED = -1
NS = 1_000_000_000
HOST_SUBSCRIPTIONS_MAX = 32
"""An agent has four and its inbox."""
HOST_PAYLOAD_BYTES_MAX = 256 * 1024
"""As large as any event may be (libs.events.BODY_BYTES_MAX)."""
_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}


def encode(claims: dict[str, Any], seed: str) -> str:
    """Signed by `seed`, which becomes the issuer; the id is made of the content."""
    said = {**claims, "iss": public_key_of(seed)}
    digest = hashlib.sha256(_json(said)).digest()
    said["jti"] = base64.b32encode(digest).decode().rstrip("=")
    signed = f"{_part(_json(_HEADER))}.{_part(_json(said))}"
    return f"{signed}.{_part(sign(seed, signed.encode()))}"


def decode(token: str) -> dict[str, Any]:
    """What a token says. The signature is for nats-server to check.

    Raises:
        BadKey: it is no token.
    """
    try:
        _, body, _ = token.strip().split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        kind = claims["nats"]["type"]
    except (ValueError, KeyError, TypeError):
        raise BadKey("this is no NATS token") from None
    assert isinstance(kind, str)
    return dict(claims)


def operator_token(operator_seed: str, system_account: str, now_s: int) -> str:
    key = public_key_of(operator_seed)
    nats = {"type": "operator", "version": VERSION, "system_account": system_account}
    return encode({"name": "kafra", "sub": key, "iat": now_s, "nats": nats}, operator_seed)


def system_account_token(operator_seed: str, account: str, now_s: int) -> str:
    """The server's own account: any account may see who connects to it, and to it alone."""
    exports = [
        {
            "name": "account-monitoring-streams",
            "subject": "$SYS.ACCOUNT.*.>",
            "type": "stream",
            "account_token_position": 3,
        }
    ]
    nats = {"type": "account", "version": VERSION, "limits": _account_limits(streams=False), "exports": exports}
    return encode({"name": SYSTEM_ACCOUNT, "sub": account, "iat": now_s, "nats": nats}, operator_seed)


def account_token(
    operator_seed: str, account: str, system_account: str, hosts_key: str, now_s: int, revoked: dict[str, int] | None = None
) -> str:
    """Our account. hosts_key: public part of the signing key for hosts. revoked: public key of a host -> Unix s; tokens for it
    that were made until then are worth nothing."""
    may = host_permissions(TEMPLATE)
    template = {
        "pub": {"allow": list(may.publish)},
        "sub": {"allow": list(may.subscribe)},
        "resp": {"max": may.replies, "ttl": REPLY_EXPIRES_S * NS},
        "subs": HOST_SUBSCRIPTIONS_MAX,
        "data": UNLIMITED,
        "payload": HOST_PAYLOAD_BYTES_MAX,
    }
    imports = [
        {"name": advisory.lower(), "subject": f"$SYS.ACCOUNT.{account}.{advisory}", "account": system_account, "type": "stream"}
        for advisory in ADVISORIES
    ]
    nats: dict[str, Any] = {
        "type": "account",
        "version": VERSION,
        "limits": _account_limits(streams=True),
        "signing_keys": [{"kind": "user_scope", "key": hosts_key, "role": "host", "template": template}],
        "imports": imports,
    }
    if revoked:
        nats["revocations"] = revoked
    return encode({"name": ACCOUNT, "sub": account, "iat": now_s, "nats": nats}, operator_seed)


def service_token(account_seed: str, user: str, name: str, now_s: int) -> str:
    """A user who may say everything within our account."""
    nats = {
        "type": "user",
        "version": VERSION,
        "pub": {},
        "sub": {},
        "subs": UNLIMITED,
        "data": UNLIMITED,
        "payload": UNLIMITED,
    }
    return encode({"name": name, "sub": user, "iat": now_s, "nats": nats}, account_seed)


def host_token(hosts_seed: str, account: str, user: str, host: str, now_s: int) -> str:
    """A host: what it may say is the template's, its name fills the template in. Hosts' tokens do not expire; `revoked` ends
    them."""
    nats = {"type": "user", "version": VERSION, "issuer_account": account}
    return encode({"name": host, "sub": user, "iat": now_s, "nats": nats}, hosts_seed)


def credentials(token: str, seed: str) -> str:
    """A .creds file: the token, and the seed that proves it is ours."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def _account_limits(*, streams: bool) -> dict[str, Any]:
    limits: dict[str, Any] = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), UNLIMITED)
    limits["wildcards"] = True
    if streams:
        limits |= dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), UNLIMITED)
    return limits


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
