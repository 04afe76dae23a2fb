"""/healthz, /readyz and /statusz over HTTP, from a thread of their own: they say no when the event loop hangs."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STUCK_S = 5.0
"""An event loop that did not turn for this long is not healthy."""
REQUEST_TIMEOUT_S = 5.0


@dataclass(slots=True)
class Health:
    """What the service tells about itself. ready: caught up and connected. status: a JSON-able picture for /statusz."""

    ready: bool = False
    turned_s: float = field(default_factory=time.monotonic)
    status: Callable[[], dict[str, object]] = dict

    def turn(self) -> None:
        """The event loop lives."""
        self.turned_s = time.monotonic()

    @property
    def alive(self) -> bool:
        return time.monotonic() - self.turned_s < STUCK_S


class HealthServer:
    """Raises OSError at construction if the port is taken."""

    def __init__(self, health: Health, host: str, port: int) -> None:
        self._server = ThreadingHTTPServer((host, port), _handler(health))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(REQUEST_TIMEOUT_S)


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            if self.path == "/statusz":
                self._say(200, health.status() | {"alive": health.alive, "ready": health.ready})
            elif self.path in ("/healthz", "/readyz"):
                good = health.alive and (health.ready or self.path == "/healthz")
                self._say(200 if good else 503, {"alive": health.alive, "ready": health.ready})
            else:
                self._say(404, {"error": "try /healthz, /readyz or /statusz"})

        def _say(self, code: int, body: dict[str, object]) -> None:
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Probes are not news."""

    return Handler
