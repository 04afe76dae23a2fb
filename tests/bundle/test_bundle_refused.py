"""What is handed out and is not what the operator signed, or not the newest: refused with evidence; what was there stays."""

import zlib

import pytest
from bundle_maker import FILES, KEY, NOW_MS, OTHER_KEY, PUBLIC, assert_nothing_half_used, manifest_of, object_of, publish
from bundle_web import Fault, web

from libs.bundle.manifest import MANIFEST_BYTES_MAX, MANIFEST_NAME, Manifest, sealed
from libs.bundle.refusal import Kind
from libs.ed25519 import PrivateKey
from services.agent.bundle import fetch, settle
from services.agent.bundle_report import BundleRefused, Unavailable
from services.agent.bundle_store import Store


async def test_no_byte_of_an_object_can_be_another(out, store):
    publish(out)
    async with web(out) as server:
        before = await fetch(server.url, PUBLIC, store)
        publish(out, {**FILES, "map-server": b"#!/bin/sh\necho new\n"}, now_ms=NOW_MS + 1000)
        name = object_of(out, "map-server")
        right = (out / name).read_bytes()
        changed = [right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :] for at in range(len(right))]
        for wrong in [*changed, right[:-1] + b"??", right + b"?", zlib.compress(b"x" * 100_000)]:
            (out / name).write_bytes(wrong)
            with pytest.raises(BundleRefused) as refused:
                await fetch(server.url, PUBLIC, store)

            evidence = refused.value.evidence
            assert (evidence.kind, evidence.about) == (Kind.CHANGED, "map-server")
            assert (evidence.sequence, evidence.version) == (manifest_of(out).sequence, manifest_of(out).version)
            assert store.current() is not None
            assert store.current().tree == before
            assert len(store.versions()) == 1
        assert_nothing_half_used(store)
        (out / name).write_bytes(right)
        tree = await fetch(server.url, PUBLIC, store)

    assert (tree / "map-server").read_bytes() == b"#!/bin/sh\necho new\n"


async def test_no_byte_of_a_manifest_can_be_another(out, store):
    publish(out)
    right = (out / MANIFEST_NAME).read_bytes()

    async with web(out) as server:
        for at in range(0, len(right), 17):
            (out / MANIFEST_NAME).write_bytes(right[:at] + bytes([right[at] ^ 4]) + right[at + 1 :])
            with pytest.raises(BundleRefused) as refused:
                await fetch(server.url, PUBLIC, store)
            assert refused.value.evidence.kind in (Kind.SIGNATURE, Kind.FORMAT)

    assert {path for path, _ in server.asked} == {MANIFEST_NAME}
    assert store.versions() == []


async def test_another_operator_s_bundle_is_refused(out, store):
    publish(out, key=OTHER_KEY)

    async with web(out) as server:
        with pytest.raises(BundleRefused, match="not signed") as refused:
            await fetch(server.url, PUBLIC, store)

    assert (refused.value.evidence.kind, refused.value.evidence.version) == (Kind.SIGNATURE, None)


async def test_an_older_manifest_is_refused_also_by_an_agent_that_was_started_anew(out, store, tmp_path):
    publish(out)
    older = (out / MANIFEST_NAME).read_bytes()
    async with web(out) as server:
        await fetch(server.url, PUBLIC, store)
        publish(out, {**FILES, "npc/fields.txt": b""}, now_ms=NOW_MS + 60_000)
        newer = await fetch(server.url, PUBLIC, store)
        (out / MANIFEST_NAME).write_bytes(older)

        with pytest.raises(BundleRefused, match="was here already") as refused:
            await fetch(server.url, PUBLIC, Store(store.root))

    evidence = refused.value.evidence
    assert (evidence.kind, evidence.sequence, evidence.had_sequence) == (Kind.OLDER, NOW_MS // 1000, NOW_MS // 1000 + 60)
    assert store.current().tree == newer


async def test_an_older_manifest_is_refused_though_the_newer_one_could_not_be_fetched(out, store):
    publish(out)
    older = (out / MANIFEST_NAME).read_bytes()
    publish(out, {**FILES, "npc/fields.txt": b""}, now_ms=NOW_MS + 60_000)
    async with web(out, lambda path, _: Fault(status=404) if "objects" in path else None) as server:
        with pytest.raises(Unavailable):
            await fetch(server.url, PUBLIC, store)
    (out / MANIFEST_NAME).write_bytes(older)

    async with web(out) as server:
        with pytest.raises(BundleRefused) as refused:
            await fetch(server.url, PUBLIC, store)

    assert refused.value.evidence.kind is Kind.OLDER


async def test_two_manifests_with_one_number_are_refused(out, store):
    publish(out)
    async with web(out) as server:
        await fetch(server.url, PUBLIC, store)
        other = manifest_of(out)
        (out / MANIFEST_NAME).write_bytes(
            sealed(Manifest(**{**{f: getattr(other, f) for f in other.__struct_fields__}, "name": "x"}), KEY)
        )

        with pytest.raises(BundleRefused) as refused:
            await fetch(server.url, PUBLIC, store)

    assert refused.value.evidence.kind is Kind.FORKED


async def test_another_key_has_numbers_of_its_own(out, store, tmp_path):
    publish(out)
    other = PrivateKey.generate()
    publish(tmp_path / "other", {**FILES, "npc/fields.txt": b""}, key=other, now_ms=1_000)

    async with web(out) as server:
        await fetch(server.url, PUBLIC, store)
    async with web(tmp_path / "other") as server:
        tree = await fetch(server.url, other.public_key().public_bytes_raw().hex(), store)

    assert (tree / "npc/fields.txt").read_bytes() == b""
    assert settle(store, PUBLIC).manifest.sequence == NOW_MS // 1000


async def test_more_than_a_manifest_is_not_read_to_its_end(out, store):
    publish(out)

    async with web(out, lambda *_: Fault(body=b"k" * (MANIFEST_BYTES_MAX * 4))) as server:
        with pytest.raises(BundleRefused) as refused:
            await fetch(server.url, PUBLIC, store)

    assert refused.value.evidence.kind is Kind.TOO_MUCH
    assert server.sent < MANIFEST_BYTES_MAX * 3


async def test_more_than_an_object_is_not_read_to_its_end(out, store):
    publish(out)
    name = object_of(out, "map-server")

    async with web(out, lambda path, _: Fault(body=b"k" * 50_000_000) if path == name else None) as server:
        with pytest.raises(BundleRefused, match="more than"):
            await fetch(server.url, PUBLIC, store)

    assert server.sent < 20_000_000
