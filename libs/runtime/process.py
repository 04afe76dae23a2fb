"""What a process is told by its environment, beside the configuration."""

import ctypes
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.config import ConfigError, Finding, Settings, load
from libs.events import NodeName
from libs.runtime.child import PR_SET_PDEATHSIG


class Process(BaseSettings):
    """Environment variables `KAFRA_*`; the configuration itself is `KAFRA__GROUP__KEY` (libs/config).

    config: path of p2p_map_config.conf; none: the shipped one. health_port: HTTP port of /healthz and /readyz, 0 for none.
    health_host: where it listens. log_level: of the service's own log.
    """

    model_config = SettingsConfigDict(env_prefix="KAFRA_", extra="ignore", frozen=True)

    config: Path | None = None
    health_host: str = "127.0.0.1"
    health_port: Annotated[int, Field(ge=0, le=65535)] = 0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def read(cls) -> "Process":
        """From the environment.

        Raises:
            ConfigError: a variable has a wrong value; says which and what is allowed.
        """
        try:
            return cls()
        except ValidationError as error:
            raise ConfigError(map(_finding, error.errors())) from None

    def settings(self, environ: Mapping[str, str] = os.environ) -> Settings:
        """The configuration file with its overrides.

        Raises:
            ConfigError: with file, line, key and what is allowed.
        """
        return load(self.config, environ)


def _finding(item: ErrorDetails) -> Finding:
    variable = "_".join(("KAFRA", *map(str, item["loc"]))).upper()
    return Finding(file=variable, line=None, key="", message=item["msg"])


def end_with_parent() -> None:
    """If `kafra up` started us (KAFRA_PARENT_PID), we end when it is gone, however it ended. Linux."""
    parent = os.environ.get("KAFRA_PARENT_PID")
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if str(os.getppid()) != parent:
        sys.exit(0)


def node_name(service: str) -> NodeName:
    """A name no other process has: it stands in every decision of this one."""
    return NodeName(f"{service}-{secrets.token_hex(4)}")
