"""File and environment -> Settings. Called once by each service's __main__, and by `kafra config check`."""

from collections.abc import Mapping
from pathlib import Path

from libs.config import overrides, text
from libs.config.build import Origin, build
from libs.config.findings import ConfigError, Finding
from libs.config.model import Settings

FILE_NAME = "p2p_map_config.conf"
# The same expression in a checkout and in a wheel, which carries the top-level folder conf/ beside libs/.
SHIPPED = Path(__file__).resolve().parents[2] / "conf" / FILE_NAME


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the file at path, overridden by the KAFRA__ variables of environ.

    path: None is the shipped file; where an installation left that out, the defaults of the code, which are the same.
    Raises: ConfigError, with every mistake of file and environment. A file that is no libconfig text has one: where it breaks.
    """
    content = b"" if path is None and not SHIPPED.is_file() else _content(path or SHIPPED)
    name = (path or SHIPPED).name
    source = text.read(content, name)
    wanted = overrides.read(environ)
    variables = overrides.apply(source.values, wanted)
    return build(Settings, source.values, Origin(name, source.lines, variables), found=[*source.findings, *wanted.findings])


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(text.BYTES_MAX + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError([Finding(path.name, None, "", f"cannot be read: {reason}")]) from error
