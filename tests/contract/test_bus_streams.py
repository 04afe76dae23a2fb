"""What is kept for how long, and which existing stream would break the promise."""

import pytest

from libs.bus.log import SETTLE_TIMEOUT_S
from libs.bus.memory_log import matches
from libs.bus.streams import ALL_SPECS, DUPLICATE_WINDOW_S, NS, SPECS, WEEK_S, config_for, improvements, losses
from libs.events import CATALOG, Stream


def test_every_stored_event_has_its_stream_and_no_other_takes_it() -> None:
    for name, event in CATALOG.items():
        subject = f"{name}.x" if event.declaration.token else name
        keepers = [spec.name for spec in ALL_SPECS for pattern in spec.subjects if matches(pattern, subject)]
        assert keepers == ([event.declaration.stream] if event.declaration.stream else [])


def test_what_the_design_promises_to_keep() -> None:
    hosts, maps, assignments = (config_for(SPECS[name], 3) for name in (Stream.HOSTS, Stream.MAPS, Stream.ASSIGNMENTS))

    assert [each["max_age"] for each in (hosts, maps, assignments)] == [0, WEEK_S * NS, 0]
    assert {each["max_msgs_per_subject"] for each in (hosts, maps, assignments)} == {5_000}
    assert {each["num_replicas"] for each in (hosts, maps, assignments)} == {3}
    assert (assignments["deny_delete"], assignments["deny_purge"]) == (True, True)
    assert (config_for(SPECS[Stream.METRICS], 1)["storage"], SPECS[Stream.METRICS].per_subject_max) == ("memory", 120)
    assert (SPECS[Stream.DEAD].bytes_max, SPECS[Stream.DEAD].age_max_s) == (64 * 1024 * 1024, WEEK_S)


def test_no_retry_outlives_the_servers_memory_of_its_id() -> None:
    assert DUPLICATE_WINDOW_S > 2 * SETTLE_TIMEOUT_S
    assert all(spec.age_max_s == 0 or spec.age_max_s >= DUPLICATE_WINDOW_S for spec in ALL_SPECS)


@pytest.mark.parametrize("spec", ALL_SPECS, ids=lambda spec: spec.name)
def test_our_own_configuration_loses_nothing_and_needs_nothing(spec) -> None:
    config = config_for(spec, 1)

    assert losses(spec, config) == []
    assert improvements(spec, config, 1) == {}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"max_msgs_per_subject": 100}, "max_msgs_per_subject: 100, not 5000"),
        ({"max_age": WEEK_S * NS}, "max_age"),
        ({"max_bytes": 10_000}, "max_bytes: 10000, not unlimited"),
        ({"max_msgs": 10}, "max_msgs"),
        ({"max_msg_size": 1_000}, "max_msg_size"),
        ({"storage": "memory"}, "storage"),
        ({"retention": "workqueue"}, "retention"),
        ({"discard": "new"}, "discard"),
        ({"no_ack": True}, "no_ack"),
        ({"sealed": True}, "sealed"),
        ({"mirror": {"name": "X"}}, "mirror"),
    ],
)
def test_what_would_lose_a_promise_is_named(change, named) -> None:
    existing = {**config_for(SPECS[Stream.HOSTS], 1), **change}

    assert named in "; ".join(losses(SPECS[Stream.HOSTS], existing))


@pytest.mark.parametrize(
    "change",
    [{"max_msgs_per_subject": 50_000}, {"max_msgs_per_subject": -1}, {"subjects": ["host.>"]}, {"num_replicas": 5}],
)
def test_more_than_promised_is_left_in_peace(change) -> None:
    existing = {**config_for(SPECS[Stream.HOSTS], 1), **change}
    if "subjects" in change:
        existing["subjects"] = [*SPECS[Stream.HOSTS].subjects, "extra.*"]

    assert losses(SPECS[Stream.HOSTS], existing) == []
    assert improvements(SPECS[Stream.HOSTS], existing, 3 if "num_replicas" in change else 1) == {}


def test_a_subject_of_a_newer_version_is_added() -> None:
    subjects = list(SPECS[Stream.HOSTS].subjects)
    existing = {**config_for(SPECS[Stream.HOSTS], 1), "subjects": subjects[1:]}

    assert losses(SPECS[Stream.HOSTS], existing) == []
    assert improvements(SPECS[Stream.HOSTS], existing, 1) == {"subjects": [*subjects[1:], subjects[0]]}


def test_harmless_differences_are_set() -> None:
    existing = {**config_for(SPECS[Stream.ASSIGNMENTS], 1), "deny_purge": False, "duplicate_window": NS}

    assert improvements(SPECS[Stream.ASSIGNMENTS], existing, 3) == {
        "num_replicas": 3,
        "duplicate_window": DUPLICATE_WINDOW_S * NS,
        "deny_purge": True,
    }
