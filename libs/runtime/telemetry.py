"""Traces and metrics. OpenTelemetry sends where OTEL_EXPORTER_OTLP_ENDPOINT says; without it nothing is recorded.

Heartbeats carry no span, and a decision has one only when its map.enter was sampled at the edge (a span costs 32 us, NATS.md).
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()
FLUSH_TIMEOUT_MS = 2_000


@dataclass(slots=True)
class Counters:
    """Plain integers on the hot path; metrics read them when they are collected."""

    facts: int = 0
    heard: int = 0
    steps: int = 0
    committed: int = 0
    refused: int = 0
    in_doubt: int = 0
    said: int = 0
    asked: int = 0
    unanswered: int = 0

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Telemetry:
    """tracer_on: spans are exported; else trace contexts are handed on as they are."""

    service: str
    tracer_on: bool
    shutdowns: list[Callable[[], object]] = field(default_factory=list)

    def span(self, name: str, traceparent: str) -> tuple[Span | None, str]:
        """A started child span of a sampled context, and the context to hand on; (None, the same) otherwise."""
        if not self.tracer_on or not traceparent.endswith("-01"):
            return None, traceparent
        parent = _PROPAGATOR.extract({"traceparent": traceparent})
        span = trace.get_tracer("kafra").start_span(name, context=parent)
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, context=trace.set_span_in_context(span))
        return span, carrier.get("traceparent", traceparent)

    def close(self) -> None:
        for shutdown in self.shutdowns:
            shutdown()


def start_telemetry(service: str, node: str, counters: Counters, interval_s: float) -> Telemetry:
    """Set up export where an endpoint is configured. interval_s: between metric exports."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return Telemetry(service, tracer_on=False)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": f"kafra-{service}", "service.instance.id": node})
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(traces)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=interval_s * 1000)
    meters = MeterProvider(resource=resource, metric_readers=[reader])
    metrics.set_meter_provider(meters)
    for name in Counters.__slots__:
        meters.get_meter("kafra").create_observable_counter(f"kafra.{name}", callbacks=[_observe(counters, name)])
    flush: list[Callable[[], object]] = [lambda: traces.force_flush(FLUSH_TIMEOUT_MS), traces.shutdown, meters.shutdown]
    return Telemetry(service, tracer_on=True, shutdowns=flush)


def _observe(counters: Counters, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(getattr(counters, name))]
