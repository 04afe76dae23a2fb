"""Breaks things in the bridge's simulation at random, makes them whole again, and looks whether everybody is where he should
be. python -m tests.rathena.sim_chaos --seed 7 [--story] | --seeds 1..200
"""

import argparse
import sys
import time
from collections import Counter

from services.bridge.players import Phase
from tests.rathena.sim_bridge import FIELDS, SETTLE_MS, START_MS, TOWN, World
from tests.rathena.sim_models import ModelServer
from tests.rathena.sim_relay import Client

CALM_MS, CHAOS_MS = 2_500, 12_000
MAPS = (TOWN, *FIELDS)


class Chaos:
    """tried: what was done, how often."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.tried: Counter[str] = Counter()
        self.may_refuse = False
        self._acts = {
            self.assign: 5,
            self.play: 12,
            self.walk: 10,
            self.log_out: 1,
            self.log_in: 3,
            self.kill: 1,
            self.freeze: 1,
            self.cut_link: 1,
            self.lose_relay: 1,
            self.lose_bus: 1,
            self.lose_char: 1,
            self.restart_bridge: 0.4,
        }

    def run(self) -> None:
        """Raises: AssertionError where something does not hold."""
        world = self.world
        world.char_connects(), world.bus_connects(), world.relay_connects()
        for server in world.servers:
            world.link(server)
        world.run(START_MS + CALM_MS)
        for client in world.relay.clients:
            world.relay.connect(client)
        until_ms = world.now_ms + CHAOS_MS
        while world.now_ms < until_ms:
            world.run(world.now_ms + world.random.randint(5, 250))
            act = world.random.choices(list(self._acts), list(self._acts.values()))[0]
            self.tried[act.__name__] += 1
            act()
        self._settle()

    # -- acts ----------------------------------------------------------------------------------------------------------

    def assign(self) -> None:
        host = self.world.random.choice(("host0", "host1", "host2", None))
        self.world.assign(self.world.random.choice(FIELDS), host)

    def play(self) -> None:
        for server, account in self._playing():
            if self.world.random.random() < 0.5:
                server.play(server.guests[account])

    def walk(self) -> None:
        playing = self._playing()
        if playing:
            server, account = self.world.random.choice(playing)
            name = self.world.random.choice(MAPS)
            self.world.tell(f"{account} walks from {server.maps} to {name}")
            server.walk(server.guests[account], name)

    def _playing(self) -> list[tuple[ModelServer, int]]:
        return [
            (server, account)
            for server in self.world.servers
            if server.alive and not server.frozen
            for account, guest in server.guests.items()
            if guest.state == "playing"
        ]

    def log_out(self) -> None:
        if (client := self._some(connected=True)) is not None:
            self.world.tell(f"{client.account_id} logs out")
            self.world.relay.leave(client)

    def log_in(self) -> None:
        if (client := self._some(connected=False)) is not None:
            self.world.tell(f"{client.account_id} logs in")
            client.where = ("", 0, 0)
            self.world.relay.connect(client)

    def _some(self, *, connected: bool) -> Client | None:
        found = [client for client in self.world.relay.clients if bool(client.conn) is connected]
        return self.world.random.choice(found) if found else None

    def kill(self) -> None:
        """kill -9 of a map-server; another process takes its place at its address after a while."""
        world = self.world
        server = world.random.choice(world.servers)
        if not server.alive:
            return
        world.tell(f"kill {server.host or 'vps'} {server.maps}")
        server.alive = server.frozen = False
        link, server.link = server.link, 0
        if link in world.links:
            world.break_link(link, tell_bridge=True)
        for client in world.relay.clients:
            if client.server is server:
                world.from_server(server, world.relay.lost, client, server, client.switch)
        world.later(world.random.randint(100, 4_000), self._revive, server)

    def _revive(self, dead: ModelServer) -> None:
        world = self.world
        if dead in world.servers:
            number = world.servers.index(dead)
            world.servers[number] = ModelServer(world, dead.host, dead.ip[3], dead.maps)
            world.link(world.servers[number])

    def freeze(self) -> None:
        """SIGSTOP, and SIGCONT some time later: a zombie."""
        world = self.world
        server = world.random.choice(world.servers)
        if server.alive and not server.frozen:
            world.tell(f"freeze {server.host or 'vps'} {server.maps}")
            server.frozen = True
            self.may_refuse |= not server.host  # the VPS is nobody's backup: after some seconds who enters there is told so
            world.later(world.random.randint(200, 6_000), self.thaw, server)

    def thaw(self, server: ModelServer) -> None:
        if not server.frozen:
            return
        self.world.tell(f"thaw {server.host or 'vps'} {server.maps}")
        server.frozen = False
        for guest in list(server.guests.values()):
            if guest.state == "playing":
                server.play(guest)  # what it was about to say before it reads what has come
        waiting, server.waiting = server.waiting, []
        for method, *given in waiting:
            self.world.at_server(server, str(method), *given)
        self.world.link(server)

    def cut_link(self) -> None:
        if self.world.links:
            link = self.world.random.choice(list(self.world.links))
            self.world.tell(f"the link of {self.world.links[link].host or 'vps'} {self.world.links[link].maps} breaks")
            self.world.break_link(link, tell_bridge=True)

    def lose_relay(self) -> None:
        self.world.tell("relay and bridge lose each other")
        self.world.relay_breaks()
        self.world.later(self.world.random.randint(10, 3_000), self.world.relay_connects)

    def lose_bus(self) -> None:
        self.world.tell("NATS is away")
        self.world.bus_breaks()
        self.world.later(self.world.random.randint(10, 4_000), self.world.bus_connects)

    def lose_char(self) -> None:
        """Half of the time it was restarted and has forgotten whom it let in."""
        self.world.tell("the char-server is away")
        self.world.char_breaks()
        self.may_refuse = True
        if self.world.random.random() < 0.5:
            self.world.char.permits.clear()
        self.world.later(self.world.random.randint(10, 2_000), self.world.char_connects)

    def restart_bridge(self) -> None:
        world = self.world
        world.tell("kill -9 of the bridge")
        world.kill_bridge()
        self.may_refuse = True
        world.later(world.random.randint(20, 400), world.char_connects)
        world.later(world.random.randint(20, 1_500), world.bus_connects)
        world.later(world.random.randint(10, 1_500), world.relay_connects)

    # -- the end -------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        world = self.world
        world.tell("everything is whole again")
        world.run(world.now_ms + 4_000)
        for server in list(world.servers):
            if not server.alive:
                self._revive(server)
            self.thaw(server)
        world.char_connects(), world.bus_connects(), world.relay_connects()
        for server in world.servers:
            world.link(server)
        for name in FIELDS:
            world.assign(name, world.random.choice(("host0", "host1", "host2", None)))
        end_ms = world.now_ms + SETTLE_MS
        while world.now_ms < end_ms:
            world.run(world.now_ms + 500)
            for client in world.relay.clients:
                if not client.conn:
                    client.where = ("", 0, 0)
                    world.relay.connect(client)
            if not (wrong := self.wrong()):
                refused = sum(client.refused for client in world.relay.clients)
                assert self.may_refuse or not refused, f"{refused} players were sent away without need"
                return
        raise AssertionError(f"still after {SETTLE_MS / 1000:g} s: {'; '.join(wrong)}")

    def wrong(self) -> list[str]:
        """What is not yet as it should be."""
        world, found = self.world, []
        state = world.witness.bridge.state
        for name in FIELDS:
            fact = world.assigned[name]
            wanted = f"{fact.event.host}/{name}" if fact.event.host else "fallback"  # type: ignore[union-attr]
            serving = state.server_of(name.encode())
            if world.witness.bridge.serving._may_not(name.encode(), fact.event.host):  # type: ignore[union-attr]
                wanted = "fallback"  # a frozen host turned players away
            if serving is None or serving.server != wanted:
                found.append(f"{name} is served by {serving and serving.server}, not {wanted}")
        for client in world.relay.clients:
            player = state.players.by_char.get(client.char_id)
            if player is None or player.phase is not Phase.PLAYING or player.owner is None:
                found.append(
                    f"{client.account_id} is {player and player.phase} on {player and player.owner and player.owner.server}"
                )
                continue
            server = world.links.get(player.owner.link)
            guest = server.guests.get(client.account_id) if server is not None else None
            if player.owner is not state.server_of(player.map):
                found.append(f"{client.account_id} on {player.map!r} is with {player.owner.server}")
            elif client.server is not server or guest is None or guest.state != "playing" or guest.client is not client:
                found.append(f"{client.account_id}: relay and {player.owner.server} disagree ({guest and guest.state})")
        ghosts = [
            f"{account} {guest.state} on {server.host or 'vps'} {server.maps}"
            for server in world.servers
            for account, guest in server.guests.items()
            if guest.client is None or guest.client.server is not server
        ]
        if ghosts:
            found.append(f"ghosts: {ghosts}")
        if world.witness.bridge.serving.moving:
            found.append(f"moves still open: {sorted(world.witness.bridge.serving.moving)}")
        return found


def run(seed: int) -> Chaos:
    """Raises: AssertionError, with the seed and the story's end."""
    chaos = Chaos(seed)
    try:
        chaos.run()
    except AssertionError as error:
        story = "\n".join(chaos.world.story)
        raise AssertionError(f"seed {seed}: {error}\n{story}\npython -m tests.rathena.sim_chaos --seed {seed}") from error
    return chaos


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rathena.sim_chaos", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", default="1..200")
    parser.add_argument("--story", action="store_true")
    given = parser.parse_args()
    first, _, last = (f"{given.seed}..{given.seed}" if given.seed is not None else given.seeds).partition("..")
    tried: Counter[str] = Counter()
    failed, started_s = 0, time.perf_counter()
    for seed in range(int(first), int(last) + 1):
        try:
            chaos = run(seed)
            tried += chaos.tried
            if given.story:
                _say("\n".join(chaos.world.story))
        except AssertionError as error:
            failed += 1
            _say(str(error))
    _say(f"{failed} failed in {time.perf_counter() - started_s:.1f} s; {dict(tried)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
