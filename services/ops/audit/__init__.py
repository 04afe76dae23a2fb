"""An independent checker of the log: facts in, findings out.

Written from the design alone (what is said, the decisions D1 to D14, choosing a host) and from `libs.events`. It shares no
code with the deciders, so that an error in `libs.hosting` cannot hide itself here. Pure. Called by the kafra command, the
simulation and the proofs:

    audit = Audit(rules)
    audit.feed_all(facts)               # HOSTS, MAPS, ASSIGNMENTS; each stream in its order, interleaved at will
    audit.findings(quiet_since_ms=...)  # nothing found: []

What it holds a decider to, by the name of the invariant:

- `tenure`: `tenure: null` begins a tenure (its own sequence). A carried tenure is the one in force and changes neither server
  nor `since_ms`. The decider had read the map's last assignment (compare-and-set).
- `backups`: no host twice, the primary not among them.
- `host`: a **newly given** primary (not the primary before) and every **newly listed** backup (not a backup before) were, at
  the basis, up, not draining (host.up or ops.drain), not blacklisted or banned at `at_ms`, trusted while checks are on, had not
  failed the map, and were not cooling beyond `at_ms`. Ends are exclusive: at its very end an exclusion is over.
- `slots`: see `slots.py` for what counts.
- `eligible`: nothing is p2p that the settings of its own config hash do not allow.
- At the end, once it was quiet: `orphan`: no map is left with a primary that is down; `invalid`: nor with one that drains,
  failed the map, or whose move did not succeed (D3); `unassigned`: no map with players lacks an assignment; `overfull`: no
  host that is up holds more than its slots (D14).
- `cause`: exists, is readable, was read (at or below the basis); a tick's time is the decision's time.
- `reason`: see `REASONS` in `assignments.py`.
- `look`: one basis, config and time; a decider's bases never go back.
- `registry`: host.up and host.down take turns as they must, disconnects are in order, time is monotone for each host.
- `verdict`: a blacklisting has evidence and an end; strikes rise one by one.

What it cannot know it does not accuse. `starts` says from which sequence of a stream on every message was given; what is given
below that is used as state. A decision whose basis reaches below a start or beyond the last message given is not judged for
what it saw there, and counted in `unjudged`.
"""

from services.ops.audit.audit import Audit
from services.ops.audit.finding import Finding, Rules

__all__ = ["Audit", "Finding", "Rules"]
