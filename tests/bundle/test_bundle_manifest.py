"""The signed list of a bundle's files, and the paths it may hold."""

from pathlib import PurePosixPath, PureWindowsPath

import msgspec
import pytest
from bundle_maker import KEY, OTHER_KEY, PUBLIC, entry, manifest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.bundle.manifest import (
    FILE_BYTES_MAX,
    FILES_MAX,
    MANIFEST_BYTES_MAX,
    BadKey,
    Manifest,
    opened,
    packed_size_max,
    public_key,
    read,
    sealed,
    version_of,
)
from libs.bundle.paths import check_path, check_together, shown
from libs.bundle.refusal import Kind, Refused

PUBLIC_KEY = KEY.public_key()
PARTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,11}[a-z0-9]", fullmatch=True)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)


def is_path(path: str) -> bool:
    try:
        check_path(path)
    except Refused:
        return False
    return True


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    paths = sorted(draw(st.sets(PATHS.filter(is_path), max_size=8)))
    files = []
    for path in paths:
        if any(path.casefold() == other.path.casefold() or path.startswith(f"{other.path}/") for other in files):
            continue
        size = draw(st.integers(0, FILE_BYTES_MAX >> 3))
        files.append(
            entry(
                path, size=size, packed_size=draw(st.integers(0, packed_size_max(size))), sha256=draw(DIGESTS),
                packed_sha256=draw(DIGESTS), mode=draw(st.sampled_from((0o644, 0o755))),
                platform=draw(st.sampled_from(("", "linux-x86_64", "windows-x86_64"))),
            )
        )  # fmt: skip
    try:
        check_together(file.path for file in files)
    except Refused:
        files = files[:1]
    return manifest(*files, sequence=draw(st.integers(1, 2**53)))


@given(manifests())
def test_what_was_sealed_is_opened(made):
    assert opened(sealed(made, KEY), PUBLIC_KEY) == made


def test_no_byte_of_a_manifest_can_be_another():
    data = sealed(manifest(entry("a"), entry("b/c", mode=0o755)), KEY)

    for at in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            with pytest.raises(Refused):
                opened(bytes(changed), PUBLIC_KEY)


@given(st.data())
def test_nothing_put_in_taken_out_or_cut_off_is_opened(data):
    sealed_ = sealed(manifest(entry("a")), KEY)
    begin = data.draw(st.integers(0, len(sealed_)))
    end = data.draw(st.integers(begin, len(sealed_)))
    changed = sealed_[:begin] + data.draw(st.binary(max_size=8)) + sealed_[end:]

    if changed != sealed_:
        with pytest.raises(Refused):
            opened(changed, PUBLIC_KEY)


@given(st.binary(max_size=400))
@example(b"")
@example(b"kafra-bundle 1 " + b"0" * 128 + b"\n{}")
def test_anything_else_is_refused_as_unsigned(data):
    with pytest.raises(Refused) as refused:
        opened(data, PUBLIC_KEY)

    assert refused.value.kind in (Kind.SIGNATURE, Kind.FORMAT)


def test_another_key_signs_for_nobody():
    with pytest.raises(Refused) as refused:
        opened(sealed(manifest(entry("a")), OTHER_KEY), PUBLIC_KEY)

    assert refused.value.kind is Kind.SIGNATURE


def test_a_signature_in_capital_letters_is_another():
    data = sealed(manifest(entry("a")), KEY)
    head = data.partition(b"\n")[0]

    with pytest.raises(Refused):
        opened(data.replace(head, head[:15] + head[15:].upper()), PUBLIC_KEY)


def test_a_later_format_asks_for_a_later_kafra():
    data = sealed(manifest(entry("a")), KEY).replace(b"kafra-bundle 1 ", b"kafra-bundle 2 ")

    with pytest.raises(Refused, match="update Kafra") as refused:
        opened(data, PUBLIC_KEY)

    assert refused.value.kind is Kind.FORMAT


WRONG = [
    pytest.param(lambda: manifest(entry("../a")), Kind.PATH, id="climbs"),
    pytest.param(lambda: manifest(entry("a"), entry("A")), Kind.PATH, id="order"),
    pytest.param(lambda: manifest(entry("A"), entry("a")), Kind.PATH, id="case"),
    pytest.param(lambda: manifest(entry("A/b"), entry("a/c")), Kind.PATH, id="case of a directory"),
    pytest.param(lambda: manifest(entry("a"), entry("a/b")), Kind.PATH, id="file and directory"),
    pytest.param(lambda: manifest(entry("a"), entry("a")), Kind.PATH, id="twice"),
    pytest.param(lambda: manifest(entry("a", mode=0o4755)), Kind.MALFORMED, id="setuid"),
    pytest.param(lambda: manifest(entry("a", mode=0o777)), Kind.MALFORMED, id="mode"),
    pytest.param(lambda: manifest(entry("a", size=FILE_BYTES_MAX + 1)), Kind.TOO_MUCH, id="large"),
    pytest.param(lambda: manifest(entry("a", packed_size=5_000)), Kind.TOO_MUCH, id="large packed"),
    pytest.param(
        lambda: manifest(*(entry(f"f{at}", size=FILE_BYTES_MAX) for at in range(5))), Kind.TOO_MUCH, id="large in all"
    ),
    pytest.param(
        lambda: manifest(*(entry(f"f{at:05}") for at in range(FILES_MAX + 1))), Kind.TOO_MUCH, id="many"
    ),
    pytest.param(lambda: manifest(entry("a"), version="0" * 32), Kind.MALFORMED, id="version"),
    pytest.param(lambda: manifest(entry("a"), format=2), Kind.FORMAT, id="format"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "kind"), WRONG)
def test_what_no_bundle_may_be_is_refused_though_signed(made, kind):
    body = msgspec.json.encode(made())
    data = b"kafra-bundle 1 %s\n%s" % (KEY.sign(body).hex().encode(), body)

    with pytest.raises(Refused) as refused:
        opened(data, PUBLIC_KEY)
    assert refused.value.kind is kind
    with pytest.raises(Refused):
        sealed(made(), KEY)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"format":1}'],
    ids=["nothing", "list", "empty", "no text", "deep", "incomplete"],
)
def test_what_makes_no_sense_is_refused_though_signed(body):
    data = b"kafra-bundle 1 %s\n%s" % (KEY.sign(body).hex().encode(), body)

    with pytest.raises(Refused) as refused:
        opened(data, PUBLIC_KEY)

    assert refused.value.kind is Kind.MALFORMED


@pytest.mark.parametrize("field", ["sha256", "packed_sha256"])
@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n", "../" + "0" * 61])
def test_a_hash_is_64_small_hex_digits(field, text):
    body = msgspec.json.encode(manifest(entry("a", **{field: text})))
    data = b"kafra-bundle 1 %s\n%s" % (KEY.sign(body).hex().encode(), body)

    with pytest.raises(Refused):
        opened(data, PUBLIC_KEY)


def test_a_manifest_that_is_too_large_is_not_read():
    body = b" " * MANIFEST_BYTES_MAX

    with pytest.raises(Refused):
        opened(b"kafra-bundle 1 %s\n%s" % (KEY.sign(body).hex().encode(), body), PUBLIC_KEY)


def test_the_largest_bundle_fits_its_manifest():
    made = manifest(*(entry(f"{'d' * 150}/f{at:05}", size=1 << 17, packed_size=1 << 17) for at in range(FILES_MAX)))

    assert read(sealed(made, KEY)).version == made.version


def test_a_version_is_of_the_content_and_not_of_how_it_is_packed():
    one, other = entry("a"), entry("a", packed_size=12, packed_sha256="2" * 64)

    assert version_of([one]) == version_of([other])
    for changed in (entry("b"), entry("a", mode=0o755), entry("a", size=4), entry("a", sha256="3" * 64)):
        assert version_of([changed]) != version_of([one])


@pytest.mark.parametrize("text", ["", "0", PUBLIC.upper(), PUBLIC + "\n", PUBLIC[:-1], "g" * 64])
def test_a_text_that_is_no_key_is_said(text):
    with pytest.raises(BadKey, match="64 of"):
        public_key(text)


CLIMBING = ["", ".", "..", "../x", "a/../x", "a/..", "/etc/passwd", "//x", "a//b", "a/", "a\\b", "..\\x", "\\\\s\\x"]
DRIVES = ["C:x", "c:/x", "a:b"]
CHARACTERS = ["a\0b", "a\nb", "a*", "a?", "<a", "a|b", 'a"b', "a~1", "ä", "a\u0301", "\u202egnp"]
DEVICES = ["con", "CON", "nul.txt", "a/Aux", "com1", "LPT9.x", "conin$", "con .txt"]
ENDINGS = ["a.", "a ", " a", "a/b./c"]
LONG = ["a" * 201, "/".join("a" * 17)]


@pytest.mark.parametrize("path", [*CLIMBING, *DRIVES, *CHARACTERS, *DEVICES, *ENDINGS, *LONG])
def test_a_path_that_is_no_plain_path_on_every_system_is_refused(path):
    with pytest.raises(Refused) as refused:
        check_path(path)

    assert refused.value.kind is Kind.PATH
    assert refused.value.about.isprintable()


@pytest.mark.parametrize(
    "path", ["map-server", "npc/re/scripts_main.conf", "a.b/c+d @(1)", "console", "com10", "nul_x", "x/.y"]
)
def test_paths_that_bundles_have(path):
    check_path(path)


@given(st.text(max_size=60) | PATHS | st.lists(st.sampled_from(["..", ".", "", "a", "C:", "\\", "con"])).map("/".join))
def test_a_path_that_passes_stays_below_its_directory_everywhere(path):
    try:
        check_path(path)
    except Refused:
        return

    for kind in (PurePosixPath, PureWindowsPath):
        made = kind("/store") / path
        assert not kind(path).is_absolute()
        assert not kind(path).drive
        assert made.parts[:2] == kind("/store").parts
        assert ".." not in made.parts
        assert made.relative_to("/store").as_posix() == path
    assert not PureWindowsPath(path).is_reserved()


@given(st.lists(PATHS, max_size=10))
def test_paths_that_pass_together_are_files_of_their_own_where_case_does_not_count(paths):
    try:
        check_together(paths)
    except Refused:
        return

    folded = [path.casefold() for path in paths]
    assert len(set(folded)) == len(folded)
    assert not any(one != other and other.startswith(f"{one}/") for one in folded for other in folded)


def test_a_name_is_shown_without_what_steers_a_terminal():
    assert shown("a\x1b[2J") == "a\\x1b[2J"
