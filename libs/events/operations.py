"""What operators and the system itself say."""

from typing import Annotated

from msgspec import Meta

from libs.events.base import Event, Stream, declare
from libs.events.names import AccountId, AtMs, HostId, HostKey, Key, Name, NodeName, Scalar, Scalars, Text

DEAD_HEAD_BYTES = 1024


@declare("ops.drain", token="host", stream=Stream.HOSTS, said_by="ops", heard_by="registry, validator, deciders")
class OpsDrain(Event, frozen=True, kw_only=True):
    """Take a host out in order, or let it in again.

    host: which.
    at_ms: Unix ms.
    draining: true: give it nothing new and move what it has.
    by: who said so.
    """

    host: HostId
    at_ms: AtMs
    draining: bool
    by: Text


@declare("ops.ban", token="host", stream=Stream.HOSTS, said_by="ops", heard_by="registry, validator, deciders")
class OpsBan(Event, frozen=True, kw_only=True):
    """Exclude a host by an operator's word.

    host: which.
    at_ms: Unix ms.
    until_ms: end of the ban, Unix ms; null: until lifted, which is a ban whose end has passed.
    reason: why.
    by: who said so.
    """

    host: HostId
    at_ms: AtMs
    until_ms: AtMs | None
    reason: Text
    by: Text


@declare(
    "ops.enroll", token="host", stream=Stream.HOSTS, said_by="ops", heard_by="registry, the embedded server's keeper, bridge"
)
class OpsEnroll(Event, frozen=True, kw_only=True):
    """Whose word counts as this host's: the holder of one key, for one account. Nobody else may speak for it.

    host: which.
    at_ms: Unix ms.
    key: the host's public nkey (U...), null: removed; it may not connect any more.
    account_id: whose machine it is.
    by: who said so.
    """

    host: HostId
    at_ms: AtMs
    key: HostKey | None
    account_id: AccountId
    by: Text


@declare("ops.alert", token="about", stream=None, said_by="any service (monitoring.alert_on_failure)", heard_by="ops")
class OpsAlert(Event, frozen=True, kw_only=True):
    """Something an operator wants to know at once (docs/adr/0003).

    about: the host or map concerned.
    at_ms: Unix ms.
    what: one of a few words: host_down, mass_death, blacklisted, players_held, flooding, doubled, account, removed,
        link_refused, dial_refused, bundle_refused.
    detail: a sentence.
    by: which process says so.
    """

    about: Name
    at_ms: AtMs
    what: Name
    detail: Text
    by: NodeName


@declare("config.applied", token="hash", stream=Stream.HOSTS, said_by="any service at start, once", heard_by="replay")
class ConfigApplied(Event, frozen=True, kw_only=True):
    """The settings behind a config hash, so that replay can decide as it was decided.

    hash: 16 hex characters, as in map.assign's `config`.
    at_ms: Unix ms.
    settings: group -> key -> value; never `nats`, never a secret.
    """

    hash: Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
    at_ms: AtMs
    settings: dict[Key, dict[Key, Scalar | Scalars | dict[Key, Scalar | Scalars]]]


@declare("dead.letter", token="by", stream=Stream.DEAD, said_by="any service", heard_by="ops")
class DeadLetter(Event, frozen=True, kw_only=True):
    """A message that could not be read. Rate-limited per publisher.

    by: which process found it.
    at_ms: Unix ms.
    subject: where it came.
    reason: what was wrong with it.
    hash: SHA-256 of the whole body, hex.
    head: its first 1,024 bytes.
    size: of the whole body, bytes.
    """

    by: NodeName
    at_ms: AtMs
    subject: Text
    reason: Text
    hash: Annotated[str, Meta(max_length=64)]
    head: Annotated[bytes, Meta(max_length=DEAD_HEAD_BYTES)]
    size: Annotated[int, Meta(ge=0, le=2**31)]
