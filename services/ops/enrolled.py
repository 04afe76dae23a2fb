"""Who may connect as a host: the log's ops.enroll, turned into nats-server's users. In: facts. Out: users, and what an operator
has to be told before he binds a host. Pure. Called by the embedded server's keeper and `kafra hosts add` and `remove`.
"""

from libs.events import Fact, HostId, OpsEnroll
from libs.identity.accounts import User
from libs.identity.keys import BadKey, check_host_key
from libs.identity.permissions import host_permissions


class Enrolled:
    """The last ops.enroll of each host. Fold with `apply`; any order within a subject's own is the log's."""

    def __init__(self) -> None:
        self.hosts: dict[HostId, OpsEnroll] = {}
        self.seqs: dict[HostId, int] = {}

    def apply(self, fact: Fact) -> None:
        if isinstance(fact.event, OpsEnroll) and fact.seq > self.seqs.get(fact.event.host, 0):
            self.hosts[fact.event.host], self.seqs[fact.event.host] = fact.event, fact.seq

    def holder_of(self, key: str) -> HostId | None:
        """Which host has this key, None for none. Of several, which only two operators at once make, the first."""
        holders = [host for host, said in self.hosts.items() if said.key == key]
        return min(holders, key=self.seqs.__getitem__, default=None)

    def objection(self, wanted: OpsEnroll, *, replace: bool) -> str | None:
        """Why `wanted` is not to be written; None where it takes nothing from anybody. replace: the operator means it; another
        host's key is refused all the same."""
        assert wanted.key is not None
        if (holder := self.holder_of(wanted.key)) not in (None, wanted.host):
            return f"this key is the host {holder}'s; every host has a key of its own"
        kept = self.hosts.get(wanted.host)
        if replace or kept is None or kept.key is None or (kept.key == wanted.key and kept.account_id == wanted.account_id):
            return None
        what = f"another key, {kept.key[:8]}..." if kept.key != wanted.key else f"another account, {kept.account_id}"
        return f"{wanted.host} is bound to {what}; --replace binds it anew"

    def users(self) -> list[User]:
        """One for each key nats-server will take: a bad or a doubled one in its configuration would keep all others out."""
        holders: dict[str, HostId] = {}
        for host in sorted(self.hosts, key=self.seqs.__getitem__):
            key = self.hosts[host].key
            if key is not None and key not in holders and _is_key(key):
                holders[key] = host
        return [User(key, permissions=host_permissions(host)) for key, host in holders.items()]


def _is_key(text: str) -> bool:
    try:
        check_host_key(text)
    except BadKey:
        return False
    return True
