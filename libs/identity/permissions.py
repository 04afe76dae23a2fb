"""What a host may say and hear (DESIGN D10). Pure. Said once here, for static users and for the template of a signing key."""

from libs.events import HostCheck, HostDial, HostMetrics, HostOrder, HostSpeed
from libs.identity.accounts import Permissions

TEMPLATE = "{{name()}}"
"""In the permissions of a scoped signing key: the name in the user's own token, which is the host's."""
_SAYS = tuple(event.declaration.name for event in (HostMetrics, HostSpeed))
_HEARS = tuple(event.declaration.name for event in (HostOrder, HostCheck, HostDial))


def inbox_prefix(host: str) -> str:
    """Where answers to this host go; nobody else may listen there. See `connect(inbox_prefix=...)`."""
    return f"_INBOX_{host}"


def host_permissions(host: str) -> Permissions:
    """host: its id, or TEMPLATE. It answers what it is asked (host.check, host.dial), one message a request."""
    return Permissions(
        publish=tuple(f"{name}.{host}" for name in _SAYS),
        subscribe=(*(f"{name}.{host}" for name in _HEARS), f"{inbox_prefix(host)}.>"),
        replies=1,
    )
