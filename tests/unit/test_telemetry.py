"""Traces leave where OTEL_EXPORTER_OTLP_ENDPOINT says; without it contexts are handed on as they came."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from libs.runtime.telemetry import Counters, Telemetry, start_telemetry

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = SAMPLED[:-1] + "0"
PROGRAM = f"""
from libs.runtime.telemetry import Counters, start_telemetry
telemetry = start_telemetry("scorer", "scorer-1", Counters(), 60.0)
span, handed_on = telemetry.span("map.assign", "{SAMPLED}")
print(handed_on)
span.end()
print(telemetry.span("map.assign", "{UNSAMPLED}")[1])
telemetry.close()
"""


class Collector:
    """A made-up OTLP collector on loopback: keeps what is posted."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, bytes]] = []
        posted = self.posted

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> "Collector":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_a_sampled_decision_is_exported_as_a_child_of_its_enter() -> None:
    with Collector() as collector:
        environ = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=60, check=True
        )

    handed_on, unsampled = done.stdout.split()
    traces = b"".join(body for path, body in collector.posted if path == "/v1/traces")
    assert handed_on.split("-")[1] == SAMPLED.split("-")[1]
    assert handed_on.split("-")[2] != SAMPLED.split("-")[2]
    assert b"kafra-scorer" in traces
    assert bytes.fromhex(SAMPLED.split("-")[1]) in traces
    assert unsampled == UNSAMPLED


def test_without_an_endpoint_nothing_is_recorded(monkeypatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)

    telemetry = start_telemetry("scorer", "scorer-1", Counters(), 60.0)

    assert telemetry == Telemetry("scorer", tracer_on=False)
    assert telemetry.span("map.assign", SAMPLED) == (None, SAMPLED)
