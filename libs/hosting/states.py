"""What a host is, in one word, and what it may become. Pure; drawn in ARCHITECTURE.md.

Five things are known of a host, each set by one speaker: whether it is up (the registry), excluded (validator, operator),
drained (operator), suspect (who listens to it) and serving (the deciders). The state is what follows from them: nothing keeps
it, so it cannot be wrong. In: `Standing`. Out: `HostState`. Called by the registry and by `kafra hosts`.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from libs.hosting.world import Host, World


class HostState(StrEnum):
    """new: never was up. eligible: up, may be given maps. serving: up, has a map. suspect: up, and something speaks against its
    being alive. draining: up, its maps are moved away in order. down: not up any more. blacklisted: excluded, whatever else."""

    NEW = "new"
    ELIGIBLE = "eligible"
    SERVING = "serving"
    SUSPECT = "suspect"
    DRAINING = "draining"
    DOWN = "down"
    BLACKLISTED = "blacklisted"


class Change(StrEnum):
    """What can be said of a host. up: host.up. down: host.down. excluded, pardoned: by host.verdict, ops.ban or the end of
    either. drained, undrained: ops.drain. suspected: a heartbeat is overdue, or its link or connection ended. heard: neither.
    given, taken: map.assign."""

    UP = "up"
    DOWN = "down"
    EXCLUDED = "excluded"
    PARDONED = "pardoned"
    DRAINED = "drained"
    UNDRAINED = "undrained"
    SUSPECTED = "suspected"
    HEARD = "heard"
    GIVEN = "given"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class Standing:
    """was_up: at least once. serves: the assignments name it as the one of a map."""

    was_up: bool = False
    up: bool = False
    excluded: bool = False
    draining: bool = False
    suspect: bool = False
    serves: bool = False

    @property
    def state(self) -> HostState:
        if self.excluded:
            return HostState.BLACKLISTED
        if not self.up:
            return HostState.DOWN if self.was_up else HostState.NEW
        if self.suspect:
            return HostState.SUSPECT
        if self.draining:
            return HostState.DRAINING
        return HostState.SERVING if self.serves else HostState.ELIGIBLE

    def after(self, change: Change) -> "Standing":
        """The same where the change cannot be or says nothing new: the registry brings up no host that is excluded or drained,
        nobody gives a map to one that is not simply up, and a host that is down is not suspected of being so."""
        match change:
            case Change.UP if not (self.excluded or self.draining):
                return replace(self, was_up=True, up=True, suspect=False)
            case Change.DOWN:
                return replace(self, up=False, suspect=False)
            case Change.EXCLUDED | Change.PARDONED:
                return replace(self, excluded=change is Change.EXCLUDED)
            case Change.DRAINED | Change.UNDRAINED:
                return replace(self, draining=change is Change.DRAINED)
            case Change.SUSPECTED if self.up:
                return replace(self, suspect=True)
            case Change.HEARD:
                return replace(self, suspect=False)
            case Change.GIVEN if self.up and not (self.excluded or self.draining):
                return replace(self, serves=True)
            case Change.TAKEN:
                return replace(self, serves=False)
        return self


def standing_of(host: Host, world: World, at_ms: int, *, suspect: bool = False) -> Standing:
    """As the log has it; suspect: what the log does not tell."""
    return Standing(
        was_up=host.up is not None,
        up=host.is_up,
        excluded=host.excluded(at_ms),
        draining=host.draining if host.is_up else host.drain is not None and host.drain.draining,
        suspect=suspect and host.is_up,
        serves=bool(world.serving.get(host.id)),
    )
