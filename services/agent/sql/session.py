"""One connection of a map-server to its database that is none. Pure: bytes in, bytes out.

A client proves the password first; before that nothing is answered. Called by responder.py.
"""

from dataclasses import dataclass, field
from typing import Final

from services.agent.sql import wire
from services.agent.sql.statements import Statement, TooManyParts, read, wait_timeout

HOST: Final = "127.0.0.1"
USER: Final = "kafra"
DATABASE: Final = "none"
"""What a map-server is told to ask (maps/conf.py): any user and database will do, the password alone counts."""
STATEMENTS_MAX: Final = 256
"""Prepared ones of a connection at a time. A map-server closes each after use."""
SHAPES_MAX: Final = 64
OTHER: Final = "other"
_OWN_TABLES: Final = ("mapreg", "sales", "market", "barter", "buyingstores", "buyingstore_items", "vendings", "vending_items")
KNOWN: Final = frozenset(
    {f"{verb} {table}" for verb in ("select", "insert", "replace", "update", "delete") for table in _OWN_TABLES}
    | {"select db_roulette", "show"}
)
"""What a map-server asks for itself, at its start and while its shops are open: empty is the right answer. Anything else is a
script or a switch of the operator's that expects a database. Source: mapreg, cashshop, npc, buyingstore, vending of rAthena."""
ANSWER_BYTES_MAX: Final = 4 << 20
"""To what came at once. A map-server waits for each answer; who asks without reading is cut off."""
WAIT_TIMEOUT_S: Final = b"28800"


@dataclass
class Counts:
    """statements: by shape, SHAPES_MAX of them, the rest as OTHER. refused: connections without the password."""

    statements: dict[str, int] = field(default_factory=dict)
    refused: int = 0

    def count(self, shape: str) -> bool:
        """True the first time an unknown shape is seen."""
        is_new = shape not in self.statements
        if is_new and len(self.statements) >= SHAPES_MAX:
            shape, is_new = OTHER, False
        self.statements[shape] = self.statements.get(shape, 0) + 1
        return is_new and shape not in KNOWN

    @property
    def unknown(self) -> int:
        """How many statements were none of KNOWN."""
        return sum(count for shape, count in self.statements.items() if shape not in KNOWN)


class Session:
    """number: of the connection. ended: nothing more is said; close it. news: shapes nobody expected, seen the first time."""

    def __init__(self, number: int, password: bytes, scramble: bytes, counts: Counts) -> None:
        self._number, self._password, self._scramble, self._counts = number, password, scramble, counts
        self._packets = wire.Packets()
        self._statements: dict[int, Statement] = {}
        self._next = 0
        self._asked_again = False
        self.is_in = False
        self.ended = False
        self.news: list[str] = []

    def begin(self) -> bytes:
        return wire.packets(0, [wire.greeting(self._number, self._scramble)])

    def received(self, data: bytes) -> bytes:
        """What to answer."""
        return b"" if self.ended else self._answers(data)

    def _answers(self, data: bytes) -> bytes:
        answers = bytearray()
        try:
            for number, body in self._packets.feed(data):
                answers += wire.packets(number + 1, self._command(body) if self.is_in else self._login(body))
                if len(answers) > ANSWER_BYTES_MAX:
                    raise wire.BadPacket("it asks without waiting for answers")
                if self.ended:
                    break
        except wire.BadPacket as bad:
            self.ended = True
            answers += wire.packets(1, [wire.error(wire.MALFORMED, str(bad))])
        return bytes(answers)

    def _login(self, body: bytes) -> list[bytes]:
        proof = body
        if not self._asked_again:
            login = wire.login(body)
            proof = login.proof
            if login.plugin != wire.PLUGIN:
                self._asked_again = True
                return [wire.ask_again(self._scramble)]
        if wire.is_proof(proof, self._password, self._scramble):
            self.is_in = True
            return [wire.ok()]
        self._counts.refused += 1
        self.ended = True
        return [wire.error(wire.ACCESS_DENIED, "this is for the map-servers of one agent alone")]

    def _command(self, body: bytes) -> list[bytes]:
        command, rest = body[:1], body[1:]
        match int.from_bytes(command, "little"):
            case wire.QUERY:
                return self._query(rest)
            case wire.PREPARE:
                return self._prepare(rest)
            case wire.EXECUTE:
                return self._execute(rest)
            case wire.CLOSE:
                self._statements.pop(int.from_bytes(rest[:4], "little"), None)
                return []
            case wire.LONG_DATA:
                return []
            case wire.PING | wire.INIT_DB | wire.RESET | wire.RESET_CONNECTION:
                return [wire.ok()]
            case wire.SET_OPTION:
                return [wire.end()]
            case wire.QUIT:
                self.ended = True
                return []
        return [wire.error(wire.UNKNOWN_COMMAND, "no such command here")]

    def _query(self, text: bytes) -> list[bytes]:
        if wait_timeout(text):
            return wire.rows([b"Variable_name", b"Value"], [[b"wait_timeout", WAIT_TIMEOUT_S]])
        try:
            statement = read(text)
        except TooManyParts as bad:
            return [wire.error(wire.TOO_MANY_PARTS, str(bad))]
        return self._result(statement)

    def _prepare(self, text: bytes) -> list[bytes]:
        if len(self._statements) >= STATEMENTS_MAX:
            return [wire.error(wire.TOO_MANY_STATEMENTS, f"{STATEMENTS_MAX} statements are prepared")]
        try:
            statement = read(text)
        except TooManyParts as bad:
            return [wire.error(wire.TOO_MANY_PARTS, str(bad))]
        self._next = self._next % 0x7FFFFFFF + 1
        self._statements[self._next] = statement
        return wire.prepared(self._next, statement.parameters, list(statement.columns))

    def _execute(self, body: bytes) -> list[bytes]:
        """The parameters' values are not looked at."""
        statement = self._statements.get(int.from_bytes(body[:4], "little"))
        if statement is None:
            return [wire.error(wire.UNKNOWN_STATEMENT, "no such statement was prepared")]
        return self._result(statement)

    def _result(self, statement: Statement) -> list[bytes]:
        if self._counts.count(statement.shape):
            self.news.append(statement.shape)
        return wire.rows(list(statement.columns), []) if statement.columns else [wire.ok()]
