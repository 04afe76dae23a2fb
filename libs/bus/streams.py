"""The streams as data: what is kept, for how long, and how much (DESIGN section 4).

In: the catalogue's declarations. Out: `SPECS`, the server's configuration for each, and what is wrong with a stream that
exists already. Pure. Called by libs.bus.ensure (real) and libs.bus.memory_log (tests).
"""

from dataclasses import dataclass
from typing import Any

from libs.events import CATALOG, Stream

DUPLICATE_WINDOW_S = 120
"""How long the server remembers a Nats-Msg-Id. Far above SETTLE_TIMEOUT_S (30 s): no retry comes after its memory ended."""
PER_SUBJECT_MAX = 5_000
METRICS_PER_SUBJECT_MAX = 120
METRICS_AGE_MAX_S = 15 * 60
"""120 heartbeats of an idle host (5 s) are 10 minutes; hosts long gone leave the memory."""
METRICS_BYTES_MAX = 128 * 1024 * 1024
"""About 1,500 hosts with 120 heartbeats of 700 bytes; below the 256 MiB of memory storage a server is given."""
WEEK_S = 7 * 24 * 3600
DEAD_BYTES_MAX = 64 * 1024 * 1024
UNLIMITED = -1
NS = 1_000_000_000
LEASES = "KV_LEASES"
"""A key-value bucket (`nats kv get LEASES registry`), kept beside the events' streams."""
LEASE_PREFIX = "$KV.LEASES"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """What a stream must keep. A limit of `UNLIMITED` is none; age_max_s 0 is none. protected: no delete, no purge. from_hosts:
    hosts publish into it, and no acknowledgement goes out: it would go to whatever subject the host names, in our account's
    name."""

    name: str
    subjects: tuple[str, ...]
    memory: bool = False
    per_subject_max: int = UNLIMITED
    age_max_s: int = 0
    bytes_max: int = UNLIMITED
    protected: bool = False
    bucket: bool = False
    from_hosts: bool = False


def _subjects(stream: Stream) -> tuple[str, ...]:
    return tuple(
        f"{name}.*" if event.declaration.token is not None else name
        for name, event in CATALOG.items()
        if event.declaration.stream is stream
    )


SPECS: dict[Stream, StreamSpec] = {
    Stream.HOSTS: StreamSpec("HOSTS", _subjects(Stream.HOSTS), per_subject_max=PER_SUBJECT_MAX),
    Stream.MAPS: StreamSpec("MAPS", _subjects(Stream.MAPS), per_subject_max=PER_SUBJECT_MAX, age_max_s=WEEK_S),
    Stream.ASSIGNMENTS: StreamSpec(
        "ASSIGNMENTS", _subjects(Stream.ASSIGNMENTS), per_subject_max=PER_SUBJECT_MAX, protected=True
    ),
    Stream.METRICS: StreamSpec(
        "METRICS",
        _subjects(Stream.METRICS),
        memory=True,
        per_subject_max=METRICS_PER_SUBJECT_MAX,
        age_max_s=METRICS_AGE_MAX_S,
        bytes_max=METRICS_BYTES_MAX,
        from_hosts=True,
    ),
    Stream.DEAD: StreamSpec("DEAD", _subjects(Stream.DEAD), age_max_s=WEEK_S, bytes_max=DEAD_BYTES_MAX),
}
LEASES_SPEC = StreamSpec(LEASES, (f"{LEASE_PREFIX}.>",), per_subject_max=1, bucket=True)
ALL_SPECS: tuple[StreamSpec, ...] = (*SPECS.values(), LEASES_SPEC)


def config_for(spec: StreamSpec, replicas: int) -> dict[str, Any]:
    """The server's configuration, every consequential option said. Durations in nanoseconds."""
    return {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "retention": "limits",
        "storage": "memory" if spec.memory else "file",
        "discard": "new" if spec.bucket else "old",
        "max_consumers": UNLIMITED,
        "max_msgs": UNLIMITED,
        "max_bytes": spec.bytes_max,
        "max_age": spec.age_max_s * NS,
        "max_msgs_per_subject": spec.per_subject_max,
        "max_msg_size": UNLIMITED,
        "num_replicas": replicas,
        "duplicate_window": DUPLICATE_WINDOW_S * NS,
        "allow_direct": spec.bucket,  # never for a log: a direct get may be stale
        "allow_rollup_hdrs": spec.bucket,
        "deny_delete": spec.protected or spec.bucket,
        "deny_purge": spec.protected,
        "no_ack": spec.from_hosts,
    }


def losses(spec: StreamSpec, existing: dict[str, Any]) -> list[str]:
    """What an existing stream would lose of what `spec` promises, one phrase each; empty for none. A wider limit is none."""
    found = []
    if existing.get("storage") != "file" and not spec.memory:
        found.append(f"storage: {existing.get('storage')}, not file")
    if existing.get("retention") != "limits":
        found.append(f"retention: {existing.get('retention')}, not limits")
    for key, wanted in _limits(spec).items():
        if _is_tighter(int(existing.get(key) or 0), wanted):
            found.append(f"{key}: {existing.get(key)}, not {wanted if wanted > 0 else 'unlimited'}")
    if existing.get("discard") == "new" and not spec.bucket:
        found.append("discard: new, not old")
    found += [f"{key}: set" for key in ("mirror", "sources", "subject_transform", "sealed") if existing.get(key)]
    if existing.get("no_ack") and not spec.from_hosts:
        found.append("no_ack: set")
    return found


def improvements(spec: StreamSpec, existing: dict[str, Any], replicas: int) -> dict[str, Any]:
    """What to change of an existing stream that loses nothing; empty for nothing. Never takes away: two versions of ours,
    or an operator who gave more, are left in peace."""
    changes: dict[str, Any] = {}
    kept = existing.get("subjects") or []
    if missing := sorted(set(spec.subjects) - set(kept)):  # an event of a newer version
        changes["subjects"] = [*kept, *missing]
    for key in ("num_replicas", "duplicate_window"):
        wanted = config_for(spec, replicas)[key]
        if int(existing.get(key) or 0) < wanted:
            changes[key] = wanted
    for key in ("deny_delete", "deny_purge", "no_ack"):
        if config_for(spec, replicas)[key] and not existing.get(key):
            changes[key] = True
    return changes


def _limits(spec: StreamSpec) -> dict[str, int]:
    """Limits whose lowering would lose messages; 0 or below is none."""
    return {
        "max_msgs_per_subject": spec.per_subject_max,
        "max_age": spec.age_max_s * NS,
        "max_bytes": spec.bytes_max,
        "max_msgs": UNLIMITED,
        "max_msg_size": UNLIMITED,
    }


def _is_tighter(existing: int, wanted: int) -> bool:
    return existing > 0 and (wanted <= 0 or existing < wanted)
