"""Who a client plays, who serves him, where he is: as the bridge is told. Pure. Knows real session ids: never logged."""

from dataclasses import dataclass, field
from math import inf
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
    """enter: the client's 0436. serve: the newest placement, None before the first. step: 0087 or 0088, where he went since
    `place` was set; looked into when somebody asks. entered_ms: when his server took him in, by the session's clock.
    fresh: `Placed.fresh`."""

    conn: int
    address: str = ""
    enter: Enter = field(default=NOBODY)
    serve: say.Serve | None = None
    step: bytes | None = None
    entered_ms: float = -inf
    fresh: bool = False
    _place: Place = field(default=Place("", 0, 0))

    @property
    def place(self) -> Place:
        """Where the client last was, or is about to be."""
        if self.step is not None:
            self.place = Place(self._place.map, *wire.stepped_to(self.step))
        return self._place

    @place.setter
    def place(self, place: Place) -> None:
        self._place, self.step = place, None

    @property
    def switch(self) -> int:
        """-1 before the first."""
        return -1 if self.serve is None else self.serve.switch

    def welcomed_at(self, x: int, y: int) -> None:
        """His new server put him there; on the map that the bridge named."""
        assert self.serve is not None
        self.place = Place(self.serve.map, x, y) if x or y else Place(self.serve.map, self.serve.x, self.serve.y)

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
            fresh=served and self.fresh,
            **self._where(),
        )

    def entered(self, now_ms: float) -> Tell:
        self.entered_ms, self.fresh = now_ms, False
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
        place = self.place
        return {"map": place.map, "x": place.x, "y": place.y}
