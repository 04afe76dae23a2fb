"""Whatever the file and the environment hold: settings come of it, or findings."""

from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from libs.config import SHIPPED, ConfigError, Settings, load
from tests.unit.config_findings import NAME

fuzz = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


def settings_or_findings(path: Path, environ: dict[str, str]) -> None:
    """Nothing but settings or a ConfigError comes of it, and every finding is one line."""
    problem = None
    try:
        read = load(path, environ)
    except ConfigError as error:
        problem = error
    if problem is None:
        assert Settings.from_public(read.public()).hash() == read.hash()
    else:
        assert 0 < len(problem.findings) == len(str(problem).splitlines())


@fuzz
@given(st.binary(max_size=300))
@example(b'a = "\\xzz";')
@example(b"a = .;")
def test_random_bytes_raise_nothing_but_config_error(tmp_path, content):
    path = tmp_path / NAME
    path.write_bytes(content)

    settings_or_findings(path, {})


TOKENS = ["failover", "regions", "maps", "never", "eligible", "weights", "scoring", "eu", "*", "nats", "url"]
TOKENS += ["{", "}", "[", "]", "(", ")", "=", ":", ";", ",", "\n", " ", "#", "/*", "*/", '"a"', '"a:1"', '"', "\\"]
TOKENS += ["1", "-0.0", "1e999", "0xff", "7L", "true", "failover: {", "regions: {", 'eu = "a:1";', "};"]


@fuzz
@given(st.lists(st.sampled_from(TOKENS), max_size=40).map(" ".join))
def test_random_libconfig_raises_nothing_but_config_error(tmp_path, text):
    path = tmp_path / NAME
    path.write_text(text)

    settings_or_findings(path, {})


@fuzz
@given(st.data())
def test_a_damaged_shipped_file_raises_nothing_but_config_error(tmp_path, data):
    content = bytearray(SHIPPED.read_bytes())
    for _ in range(3):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path = tmp_path / NAME
    path.write_bytes(content)

    settings_or_findings(path, {})


NAMES = st.text(max_size=30) | st.sampled_from(
    ["FAILOVER__SILENCE_MS", "MAPS__NEVER", "REGIONS__EU", "REGIONS____", "GENERAL", "NATS__URL", "SCORING__LOAD_WEIGHT"]
)
ANY_TEXT = st.text(st.characters(), max_size=30)  # surrogates too, as os.environ has for bytes that are not UTF-8


@fuzz
@given(st.dictionaries(NAMES.map("KAFRA__".__add__), ANY_TEXT | st.sampled_from(["1", "-0", "nan", "inf", "[1]", "[["])))
def test_a_random_environment_raises_nothing_but_config_error(environ):
    settings_or_findings(SHIPPED, environ)
