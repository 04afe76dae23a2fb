"""A wrong configuration's findings, as an operator sees them. For tests."""

from pathlib import Path

import pytest

from libs.config import ConfigError, load

NAME = "p2p_map_config.conf"


def findings(tmp_path: Path, text: str | bytes, environ: dict[str, str] | None = None) -> list[str]:
    """The findings of text, one a line, as an operator sees them."""
    path = tmp_path / NAME
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    lines = str(caught.value).split("\n")
    assert lines == [str(finding) for finding in caught.value.findings]
    return lines
