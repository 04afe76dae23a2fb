"""A client's first bytes: the PROXY header where one is due, then 0436. Pure."""

from libs.rathena.client import Enter
from services.relay import wire
from services.relay.proxy import parse


class BadArrival(Exception):
    """This is no game client. Close."""


class Arrival:
    """address: the client's; None until a PROXY header has said it, then perhaps empty: not known. rest: what follows 0436."""

    def __init__(self, address: str | None) -> None:
        self.address = address
        self.rest = b""

    def read(self, data: bytes) -> Enter | None:
        """None: not whole yet. Keeps a header and a packet at most.

        Raises:
            BadArrival: the first packet is another.
            BadHeader: of `proxy.parse`.
        """
        data, self.rest = self.rest + data, b""
        if self.address is None:
            if (header := parse(data)) is None:
                self.rest = data
                return None
            self.address, data = header.address or "", data[header.size :]
        if len(data) > 1 and wire.id_at(data, 0) != wire.ENTER:
            raise BadArrival(f"its first packet is {wire.id_at(data, 0):04x}")
        if len(data) < wire.ENTER_BYTES:
            self.rest = data
            return None
        self.rest = data[wire.ENTER_BYTES :]
        return Enter.unpack(data[: wire.ENTER_BYTES])
