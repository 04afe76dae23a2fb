"""What the commands show, as plain rows: one dict a line of a table, the same for --json; hosts: host_view.py. Pure."""

from typing import Any

import msgspec

from libs.events import Fact, HostId, MapAssign, MapMoved, subject_of
from libs.hosting.eligibility import broken
from libs.hosting.world import MapState, World

Row = dict[str, Any]


def map_rows(world: World, now_ms: int) -> list[Row]:
    """One row a map that was ever entered or assigned; the fullest first."""
    rows = [_map_row(world, state, now_ms) for state in world.maps.values()]
    return sorted(rows, key=lambda row: (-row["players"], row["map"]))


def event_row(fact: Fact) -> Row:
    """One stored event: where it stands, and its body."""
    body = msgspec.to_builtins(fact.event) if fact.event is not None else None
    return {
        "stream": str(fact.stream),
        "seq": fact.seq,
        "stored_ms": fact.stored_ms,
        "subject": subject_of(fact.event) if fact.event is not None else None,
        "event": body,
    }


def explain_row(world: World, state: MapState, assign: MapAssign, seq: int, cause: Fact | None) -> Row:
    """Why this assignment was written: what asked for it, who was considered, who was kept out."""
    return {
        "map": state.name,
        "seq": seq,
        "server": assign.host or "vps",
        "reason": assign.reason,
        "at_ms": assign.at_ms,
        "tenure": seq if assign.tenure is None else assign.tenure,
        "backups": assign.backups,
        "score": assign.score,
        "candidates": msgspec.to_builtins(assign.candidates),
        "refused": assign.refused,
        "cooling": msgspec.to_builtins(assign.cooling),
        "cause": msgspec.to_builtins(assign.cause),
        "cause_event": event_row(cause) if cause is not None else None,
        "basis": msgspec.to_builtins(assign.basis),
        "decider": assign.decider,
        "look": assign.look,
        "config": assign.config,
        "holds": seq == state.assign_seq and broken(world, state, True, assign.at_ms) is None,
    }


def _map_row(world: World, state: MapState, now_ms: int) -> Row:
    assign, moved = state.assign, state.moved
    return {
        "map": state.name,
        "server": (assign.host or "vps") if assign else None,
        "kind": assign.kind if assign else None,
        "backups": list(assign.backups) if assign else [],
        "players": state.player_count,
        "regions": dict(state.players),
        "reason": assign.reason if assign else None,
        "tenure": state.tenure,
        "since_ms": assign.since_ms if assign else None,
        "age_s": round((now_ms - assign.since_ms) / 1000, 1) if assign else None,
        "score": assign.score if assign else None,
        "ready": _is_ready(world, state, assign.host) if assign and assign.host else None,
        "last_move": None if moved is None else _move_view(moved),
    }


def _is_ready(world: World, state: MapState, host: HostId) -> bool:
    up = world.host(host).up
    return up is not None and state.name in up.ready_maps


def _move_view(moved: MapMoved) -> dict[str, Any]:
    return {"outcome": moved.outcome, "kind": moved.kind, "ms": moved.ms, "players": moved.players}
