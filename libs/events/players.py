"""What is asked about players and their saves."""

from typing import Annotated, Literal

from msgspec import Meta

from libs.events.base import Event, Reply, declare
from libs.events.names import AccountId, AtMs, DurationMs, HostId, Key, MapName, Name, Plain, Seq, Text

State = Annotated[dict[Key, Plain], Meta(max_length=4096)]


class PlayersOnlineReply(Reply, frozen=True, kw_only=True):
    """accounts: those in the game now."""

    at_ms: AtMs
    accounts: Annotated[list[AccountId], Meta(max_length=100_000)]


@declare(
    "players.online",
    token=None,
    stream=None,
    said_by="registry (request)",
    heard_by="bridge",
    reply=PlayersOnlineReply,
)
class PlayersOnline(Event, frozen=True, kw_only=True):
    """Which accounts are in the game?

    at_ms: Unix ms.
    """

    at_ms: AtMs


class SaveVerdict(Reply, frozen=True, kw_only=True):
    """pass: let it through. hold: ask again. reject: keep the last accepted, or `corrected` where given."""

    verdict: Literal["pass", "hold", "reject"]
    reason: Text
    corrected: State | None = None


@declare(
    "save.check",
    token="host",
    stream=None,
    said_by="bridge (request)",
    heard_by="validator",
    reply=SaveVerdict,
)
class SaveCheck(Event, frozen=True, kw_only=True):
    """May this save pass?

    host: who sent the save.
    map: where the character is.
    account_id: whose account.
    char_id: which character.
    tenure: of the map's assignment, ASSIGNMENTS sequence.
    at_ms: Unix ms.
    elapsed_ms: since the last accepted save, ms.
    kind: what is saved (character, inventory, quests ...).
    before: the last accepted state, by field.
    after: the offered state, by field.
    """

    host: HostId
    map: MapName
    account_id: AccountId
    char_id: AccountId
    tenure: Seq
    at_ms: AtMs
    elapsed_ms: DurationMs
    kind: Name
    before: State
    after: State
