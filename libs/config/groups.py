"""The groups and keys of p2p_map_config.conf, their types, ranges and defaults. What each key does: conf/p2p_map_config.conf.

A key's unit is the end of its name, or stands beside it. The binding list of keys: DESIGN section 8.
"""

from typing import Literal

from pydantic import Field

from libs.config.defaults import NEVER
from libs.config.fields import (
    BUNDLE_ALLOWED,
    BUNDLE_PATTERN,
    LOGIN_ALLOWED,
    LOGIN_PATTERN,
    NATS_PATTERN,
    REGION_PATTERN,
    Address,
    AddressOrNone,
    Flag,
    Group,
    Number,
    Patterns,
    Text,
    Whole,
    address,
    address_or_none,
    between,
    path_of,
    patterns,
)


class General(Group):
    """The switches of the whole."""

    enable_p2p_maps: Flag = True
    prefer_low_latency: Flag = True
    enable_auto_migration: Flag = True
    enable_vps_fallback: Flag = True
    enable_p2p_security_checks: Flag = True
    persistent_hosts: Flag = True
    hosts_must_play: Flag = False
    hosts_bundle: Text = Field(default="", pattern=BUNDLE_PATTERN, description=BUNDLE_ALLOWED)


class HostRequirements(Group):
    """The least a host must have, and how many maps it may carry:
    slots = min(cores * slots_per_core, free_ram_mb / slot_ram_mb, slots_max)."""

    cpu_min_ghz: Number = between(0, 10, 3.0)
    cpu_min_cores: Whole = between(1, 256, 4)
    ram_min_mb: Whole = between(0, 1048576, 8192)
    net_min_speed: Number = between(0, 100000, 100.0)  # Mbps
    net_max_latency: Number = between(1, 1000, 30.0)  # ms; a divisor of the latency term, so never 0
    max_disconnects_per_hour: Whole = between(1, 1000, 1)  # a divisor of the stability term, so never 0
    max_jitter_ms: Number = between(0, 1000, 15.0)
    min_packet_rate: Number = between(0, 100000, 100.0)  # packets a second
    slots_per_core: Number = between(0.1, 16, 1.0)
    slot_ram_mb: Whole = between(16, 65536, 512)
    slots_max: Whole = between(1, 256, 16)


class Weights(Group):
    """The weights of the five terms of a score; their sum is 1."""

    cpu: Number = between(0, 1, 0.15)
    ram: Number = between(0, 1, 0.15)
    network: Number = between(0, 1, 0.25)
    latency: Number = between(0, 1, 0.35)
    stability: Number = between(0, 1, 0.10)


class Reference(Group):
    """What a machine needs for a full term: more gives no more."""

    cpu_ghz_cores: Number = between(1, 10000, 32.0)  # GHz times cores
    ram_mb: Whole = between(256, 16777216, 16384)
    net_mbps: Number = between(1, 1000000, 1000.0)


class Scoring(Group):
    """How hosts are ranked: score = sum(weight * term) - load_weight * used_slots / slots."""

    weights: Weights = Weights()
    load_weight: Number = between(0, 1, 0.10)
    reference: Reference = Reference()


class Eligible(Group):
    """The maps that hosts may serve, by category; the category is for the reader, all count alike."""

    field: Patterns = patterns("moc_fild01", "pay_fild03", "gef_fild07")
    dungeon: Patterns = patterns("pay_dun01", "gef_dun02", "moc_pryd01")
    training: Patterns = patterns("iz_dun01", "morocc_fild12")
    instance: Patterns = patterns("custom_housing", "player_base")
    guild: Patterns = patterns("guild_room")
    quest: Patterns = patterns("job_quest_room", "test_room")


class MapRules(Group):
    """Which maps hosts may serve. `never` wins; a map in no list is the VPS's."""

    eligible: Eligible = Eligible()
    never: Patterns = patterns(*NEVER)

    @property
    def eligible_patterns(self) -> tuple[str, ...]:
        """The names and globs of all categories, each once, in the file's order of categories."""
        of = self.eligible
        return tuple(dict.fromkeys((*of.field, *of.dungeon, *of.training, *of.instance, *of.guild, *of.quest)))


class Failover(Group):
    """When a host is lost, and who takes its maps. always_keep_vps_ready and the vps_max_ keys: what the VPS can carry."""

    backup_hosts_count: Whole = between(0, 8, 2)
    warm_backups: Whole = between(0, 8, 1)
    migration_timeout: Whole = between(100, 60000, 1000)  # ms
    start_timeout: Whole = between(1, 600, 60)  # s
    silence_ms: Whole = between(100, 60000, 2400)
    suspicion_ms: Whole = between(100, 60000, 700)
    mass_death_share: Number = between(0.01, 1, 0.30)
    mass_death_window_ms: Whole = between(100, 60000, 2000)
    mass_death_hold_ms: Whole = between(0, 60000, 5000)
    refill_interval_s: Whole = between(1, 3600, 10)
    always_keep_vps_ready: Flag = True
    vps_max_maps: Whole = between(1, 10000, 1500)
    vps_max_players: Whole = between(1, 100000, 3000)


class Rebalance(Group):
    """When a map moves though its host is well."""

    threshold: Number = between(1, 10, 1.10)  # new score / present score
    min_dwell_s: Whole = between(0, 86400, 300)
    cool_down_s: Whole = between(0, 86400, 120)
    max_moves_per_minute: Whole = between(0, 10000, 30)
    idle_after_s: Whole = between(0, 86400, 300)


class Monitoring(Group):
    """Heartbeats of hosts, metrics and logs of services."""

    heartbeat_busy_ms: Whole = between(50, 60000, 500)
    heartbeat_idle_ms: Whole = between(50, 600000, 5000)
    metrics_interval_s: Whole = between(1, 3600, 10)
    detailed_logging: Flag = False
    alert_on_failure: Flag = True


class Security(Group):
    """How hosts are checked. alpha, beta: the error rates of the sequential tests, as probabilities."""

    check_interval_s: Whole = between(1, 86400, 60)
    check_timeout_ms: Whole = between(100, 60000, 2000)
    strikes_max: Whole = between(1, 100, 3)
    blacklist_s: Whole = between(1, 31536000, 3600)
    blacklist_factor: Number = between(1, 100, 2.0)
    blacklist_max_s: Whole = between(1, 31536000, 604800)
    alpha: Number = between(0.0001, 0.5, 0.001)
    beta: Number = between(0.0001, 0.5, 0.05)
    trust_min: Number = between(0, 1, 0.2)
    when_validator_away: Literal["hold", "pass", "vps"] = "hold"
    hold_s: Whole = between(0, 3600, 5)
    own_host: Literal["full_check", "deny"] = "full_check"


class Vps(Group):
    """Where the VPS's two map-servers listen, "host:port"."""

    core: Address = address("127.0.0.1:5121")
    fallback: Address = address("127.0.0.1:5122")


class Nats(Group):
    """The bus. Not part of public(): the url may hold a password, so it is not in repr() either."""

    url: Text = Field(
        default="nats://127.0.0.1:4222",
        pattern=NATS_PATTERN,
        max_length=4096,
        repr=False,
        description='"nats://host:port" (or tls, ws, wss); several with commas between',
    )
    credentials: Text = Field(default="", max_length=4096, repr=False, description='the path of a credentials file, or ""')
    replicas: Whole = between(1, 5, 1)


class Bridge(Group):
    """Where the bridge listens and what it connects to. Not part of public(): it concerns no decision, passwd is secret."""

    char_server: Address = address("127.0.0.1:6121")
    userid: Text = Field(default="s1", pattern=LOGIN_PATTERN, description=LOGIN_ALLOWED)
    passwd: Text = Field(default="p1", pattern=LOGIN_PATTERN, description=LOGIN_ALLOWED, repr=False)
    map_servers: Address = address("127.0.0.1:6122")
    hosts: Address = address("0.0.0.0:6125")
    public: Address = address("127.0.0.1:6125")
    tickets: Text = path_of("a directory with tickets.pub, cert.pem and key.pem")
    relays: Address = address("127.0.0.1:6126")
    tls: Text = path_of("a directory with ca.pem, cert.pem and key.pem")
    layout: Text = path_of("a layout made by `kafra rathena layout`")
    store: Text = path_of("a directory")


class Registry(Group):
    """What the registry signs with. Not part of public()."""

    tickets: Text = path_of("a directory with tickets.key and bridge.pem")


class Relay(Group):
    """Where game clients connect, and the limits on them. Not part of public()."""

    name: Text = Field(default="relay", pattern=REGION_PATTERN, description="1 to 32 of A-Z a-z 0-9 _ @ -")
    region: Text = Field(default="", pattern=rf"^$|{REGION_PATTERN}", description='the name of a region, or ""')
    listen: Address = address("0.0.0.0:5120")
    public: Address = address("127.0.0.1:5120")
    hosts: AddressOrNone = address_or_none("0.0.0.0:5125")
    hosts_public: AddressOrNone = address_or_none("")
    bridge: Address = address("127.0.0.1:6126")
    tls: Text = path_of("a directory with ca.pem, cert.pem and key.pem")
    max_connections: Whole = between(1, 100000, 2000)
    max_connections_per_address: Whole = between(1, 100000, 20)
    first_packet_timeout_s: Whole = between(1, 600, 10)
    idle_timeout_s: Whole = between(10, 3600, 120)
    hold_timeout_s: Whole = between(1, 600, 30)
    connect_timeout_ms: Whole = between(50, 60000, 1000)
    proxy_protocol: Flag = False
    report_rtt: Flag = True
