"""Who a client plays, who serves him, where he is: as the bridge is told. Pure. Knows real session ids: never logged."""

from dataclasses import dataclass, field
from typing import Any, Final

from libs.link import messages as say
from libs.rathena.client import Enter
from services.relay import wire
from services.relay.effects import Tell
from services.relay.wire import Place

REASON_CHARS_MAX: Final = 256
NOBODY: Final = Enter(account_id=0, char_id=0, login_id1=0, sex=0)


@dataclass(slots=True)
class Player:
    """enter: the client's 0436. serve: the newest placement, None before the first. place: where the client last was, or is
    about to be."""

    conn: int
    address: str = ""
    enter: Enter = field(default=NOBODY)
    serve: say.Serve | None = None
    place: Place = field(default=Place("", 0, 0))

    @property
    def switch(self) -> int:
        """-1 before the first."""
        return -1 if self.serve is None else self.serve.switch

    def arrived(self) -> say.Arrived:
        enter = self.enter
        return say.Arrived(
            conn=self.conn,
            account_id=enter.account_id,
            char_id=enter.char_id,
            login_id1=enter.login_id1,
            sex=enter.sex,
            client_ip=wire.client_ip(self.address),
        )

    def placed(self, *, served: bool) -> say.Placed:
        """For one who was placed at least once. served: the server has him; one that has not said 02eb does not."""
        assert self.serve is not None
        return say.Placed(
            conn=self.conn,
            switch=self.serve.switch,
            account_id=self.enter.account_id,
            char_id=self.enter.char_id,
            login_id1=self.serve.login_id1,
            login_id2=self.serve.login_id2,
            server=self.serve.server if served else None,
            tenure=self.serve.tenure,
            **self._where(),
        )

    def entered(self) -> Tell:
        return Tell(say.Entered(conn=self.conn, switch=self.switch, ok=True))

    def not_entered(self, reason: str) -> Tell:
        return Tell(say.Entered(conn=self.conn, switch=self.switch, ok=False, reason=reason[:REASON_CHARS_MAX]))

    def loaded(self, ms: float) -> Tell:
        return Tell(say.Loaded(conn=self.conn, switch=self.switch, ms=max(0.0, ms), **self._where()))

    def walked(self) -> Tell:
        return Tell(say.Walked(conn=self.conn, **self._where()))

    def leaving(self) -> Tell:
        return Tell(say.Leaving(conn=self.conn, **self._where()))

    def lost(self, code: int | None = None) -> Tell:
        return Tell(say.ServerLost(conn=self.conn, switch=self.switch, code=code, **self._where()))

    def held(self) -> Tell:
        return Tell(say.Held(conn=self.conn, switch=self.switch, **self._where()))

    def closed(self, reason: str) -> Tell:
        return Tell(say.Closed(conn=self.conn, reason=reason[:REASON_CHARS_MAX]))

    def _where(self) -> dict[str, Any]:
        return self.place._asdict()
