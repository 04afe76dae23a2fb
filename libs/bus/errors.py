"""Operating errors of the bus; each says whether to try again."""


class BusError(Exception):
    """retry: True when the same call may succeed later."""

    retry = False


class BusUnavailable(BusError):
    """Nothing answers, or not in time."""

    retry = True


class StreamMismatch(BusError):
    """A stream exists with other limits than ours. An operator must decide; trying again is no use."""


class AuthorizationFailed(BusError):
    """The server does not accept these credentials, or not this act."""


class CredentialsRefused(AuthorizationFailed):
    """The server does not know who signs in with these; their file is in order."""


class ServerFailed(BusError):
    """The embedded server did not start: no binary, port taken, store in use. Its log's last lines are in the text."""
