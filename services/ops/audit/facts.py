"""Checks of what is said about hosts, and of how things stand at the end: registry, verdict, orphan, invalid, unassigned."""

from collections.abc import Iterator

from libs.events import HostDown, HostUp, MapAssign, Stream, subject_of
from libs.events.hosts import DISCONNECTS_KEPT
from services.ops.audit.finding import Finding
from services.ops.audit.history import History, HostHistory


def registry(said: HostHistory, whole: bool) -> Iterator[Finding]:
    """One host's ups and downs. whole: nothing before them is missing."""
    before: HostUp | HostDown | None = None
    for seq, event in said.life:
        subject = subject_of(event)
        if isinstance(event, HostDown) and not isinstance(before, HostUp) and (before is not None or whole):
            yield Finding("registry", subject, seq, "is down again" if before else "is down without ever being up")
        if before is not None and event.at_ms < before.at_ms:
            yield Finding("registry", subject, seq, f"time runs back from {before.at_ms} to {event.at_ms}")
        if len(event.disconnects_ms) > DISCONNECTS_KEPT or event.disconnects_ms != sorted(event.disconnects_ms):
            yield Finding("registry", subject, seq, f"disconnects are not the last {DISCONNECTS_KEPT} in order, newest last")
        before = event


def verdicts(said: HostHistory, whole: bool) -> Iterator[Finding]:
    strikes = 0 if whole else None
    for seq, verdict in said.verdicts:
        subject = subject_of(verdict)
        if verdict.verdict == "blacklist" and not verdict.evidence:
            yield Finding("verdict", subject, seq, "blacklists without evidence")
        if verdict.verdict == "blacklist" and verdict.blacklisted_until_ms is None:
            yield Finding("verdict", subject, seq, "blacklists without an end")
        if strikes is not None and verdict.strikes > strikes + 1:
            yield Finding("verdict", subject, seq, f"strikes jump from {strikes} to {verdict.strikes}")
        strikes = verdict.strikes


def orphans(history: History, seq: int, assign: MapAssign, quiet_since_ms: int | None) -> Iterator[Finding]:
    """The last assignment of a map, at `seq`: is its primary down?"""
    if assign.host is None:
        return
    down_seq, down = history.said_of(assign.host).life.last()
    if isinstance(down, HostDown) and _settled(max(down.at_ms, assign.at_ms), quiet_since_ms):
        text = f"is still with {assign.host}, which is down since HOSTS {down_seq} ({down.reason}, {down.at_ms})"
        yield Finding("orphan", subject_of(assign), seq, text)


def invalid(history: History, seq: int, assign: MapAssign, quiet_since_ms: int | None) -> Iterator[Finding]:
    """The last assignment of a map, at `seq`: is its primary up and yet not to serve it (D3)?"""
    if assign.host is None:
        return
    said = history.said_of(assign.host)
    up, drain = said.life.last()[1], said.drains.last()[1]
    move = history.moves[assign.map].last()[1] if assign.map in history.moves else None
    tenure = seq if assign.tenure is None else assign.tenure
    whys: list[tuple[int, str]] = []
    if isinstance(up, HostUp) and up.draining:
        whys.append((up.at_ms, "is draining"))
    if isinstance(up, HostUp) and assign.map in up.failed_maps:
        whys.append((up.at_ms, "failed it"))
    if drain is not None and drain.draining:
        whys.append((drain.at_ms, "is draining by the operator's word"))
    if move is not None and move.tenure == tenure and move.outcome != "moved":
        whys.append((move.at_ms, f"did not get it ({move.outcome})"))
    for at_ms, why in whys:
        if _settled(max(at_ms, assign.at_ms), quiet_since_ms):
            yield Finding("invalid", subject_of(assign), seq, f"is still with {assign.host}, which {why} (since {at_ms})")


def unassigned(history: History, quiet_since_ms: int | None) -> Iterator[Finding]:
    """Maps with players, by their last census, and nobody who serves them."""
    if not history.whole(Stream.ASSIGNMENTS):
        return
    for map_, timeline in history.censuses.items():
        seq, census = timeline.last()
        if census is None or map_ in history.assignments or not _settled(census.at_ms, quiet_since_ms):
            continue
        if players := sum(census.players.values()):
            yield Finding("unassigned", subject_of(census), seq, f"has {players} players and no assignment")


def _settled(at_ms: int, quiet_since_ms: int | None) -> bool:
    return quiet_since_ms is None or at_ms <= quiet_since_ms
