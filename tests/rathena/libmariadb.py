"""libmariadb, the very library a map-server asks its database with, through ctypes: a client that cannot be too kind."""

import ctypes
import ctypes.util
from ctypes import c_char_p, c_int, c_uint, c_ulong, c_ulonglong, c_void_p
from typing import Any, Final

MYSQL_TYPE_NULL: Final = 6
BIND_BYTES: Final = 112
BIND_TYPE_AT: Final = 96
"""Of MYSQL_BIND on 64-bit machines: offset of buffer_type (mariadb_stmt.h)."""


def load() -> ctypes.CDLL | None:
    """None: not on this machine."""
    name = ctypes.util.find_library("mariadb") or ctypes.util.find_library("mysqlclient")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    types: dict[str, tuple[Any, list[Any]]] = {
        "mysql_init": (c_void_p, [c_void_p]),
        "mysql_real_connect": (c_void_p, [c_void_p, c_char_p, c_char_p, c_char_p, c_char_p, c_uint, c_char_p, c_ulong]),
        "mysql_close": (None, [c_void_p]),
        "mysql_error": (c_char_p, [c_void_p]),
        "mysql_errno": (c_uint, [c_void_p]),
        "mysql_ping": (c_int, [c_void_p]),
        "mysql_real_query": (c_int, [c_void_p, c_char_p, c_ulong]),
        "mysql_store_result": (c_void_p, [c_void_p]),
        "mysql_field_count": (c_uint, [c_void_p]),
        "mysql_num_rows": (c_ulonglong, [c_void_p]),
        "mysql_fetch_row": (ctypes.POINTER(c_char_p), [c_void_p]),
        "mysql_num_fields": (c_uint, [c_void_p]),
        "mysql_free_result": (None, [c_void_p]),
        "mysql_stmt_init": (c_void_p, [c_void_p]),
        "mysql_stmt_prepare": (c_int, [c_void_p, c_char_p, c_ulong]),
        "mysql_stmt_param_count": (c_ulong, [c_void_p]),
        "mysql_stmt_field_count": (c_uint, [c_void_p]),
        "mysql_stmt_bind_param": (ctypes.c_byte, [c_void_p, c_void_p]),
        "mysql_stmt_bind_result": (ctypes.c_byte, [c_void_p, c_void_p]),
        "mysql_stmt_execute": (c_int, [c_void_p]),
        "mysql_stmt_store_result": (c_int, [c_void_p]),
        "mysql_stmt_fetch": (c_int, [c_void_p]),
        "mysql_stmt_error": (c_char_p, [c_void_p]),
        "mysql_stmt_close": (ctypes.c_byte, [c_void_p]),
    }
    for function, (result, arguments) in types.items():
        getattr(library, function).restype = result
        getattr(library, function).argtypes = arguments
    return library


class Refused(Exception):
    """What the library says of it."""


class Client:
    """One connection; blocks, so use it in a thread. library: of `load`."""

    def __init__(self, library: ctypes.CDLL, port: int, user: str, password: str, database: str) -> None:
        self._lib = library
        self._my = library.mysql_init(None)
        if not library.mysql_real_connect(
            self._my, b"127.0.0.1", user.encode(), password.encode(), database.encode(), port, None, 0
        ):
            said = self.error()
            self.close()
            raise Refused(said)

    def error(self) -> str:
        return f"{self._lib.mysql_errno(self._my)} {self._lib.mysql_error(self._my).decode()}"

    def ping(self) -> bool:
        return bool(self._lib.mysql_ping(self._my) == 0)

    def query(self, statement: bytes) -> list[list[bytes | None]] | None:
        """The rows; None for a statement that has none."""
        if self._lib.mysql_real_query(self._my, statement, len(statement)):
            raise Refused(self.error())
        result = self._lib.mysql_store_result(self._my)
        if not result:
            if self._lib.mysql_field_count(self._my):
                raise Refused(self.error())
            return None
        width, rows = self._lib.mysql_num_fields(result), []
        while row := self._lib.mysql_fetch_row(result):
            rows.append([row[n] for n in range(width)])
        self._lib.mysql_free_result(result)
        return rows

    def prepared(self, statement: bytes) -> tuple[int, int, int]:
        """Prepared, parameters and columns bound, executed, fetched, closed: (parameters, columns, rows)."""
        lib, handle = self._lib, self._lib.mysql_stmt_init(self._my)
        try:
            self._must(handle, lib.mysql_stmt_prepare(handle, statement, len(statement)))
            parameters, columns = lib.mysql_stmt_param_count(handle), lib.mysql_stmt_field_count(handle)
            given, taken = _binds(parameters), _binds(columns)
            if parameters:
                self._must(handle, lib.mysql_stmt_bind_param(handle, given))
            self._must(handle, lib.mysql_stmt_execute(handle))
            rows = 0
            if columns:
                self._must(handle, lib.mysql_stmt_bind_result(handle, taken))
                self._must(handle, lib.mysql_stmt_store_result(handle))
                while lib.mysql_stmt_fetch(handle) == 0:
                    rows += 1
            return parameters, columns, rows
        finally:
            lib.mysql_stmt_close(handle)

    def close(self) -> None:
        self._lib.mysql_close(self._my)

    def _must(self, handle: Any, failed: int) -> None:
        if failed:
            raise Refused(self._lib.mysql_stmt_error(handle).decode())


def _binds(number: int) -> Any:
    """MYSQL_BIND of NULLs."""
    room = ctypes.create_string_buffer(max(1, number) * BIND_BYTES)
    for at in range(number):
        ctypes.c_int.from_buffer(room, at * BIND_BYTES + BIND_TYPE_AT).value = MYSQL_TYPE_NULL
    return room
