"""Creating the streams, or checking those there are. Called by libs.bus.nats."""

import logging
from typing import Any

from libs.bus.connection import ApiError, Connection
from libs.bus.errors import BusUnavailable, StreamMismatch
from libs.bus.stored import API_TIMEOUT_S, NO_STREAM, stream_info
from libs.bus.streams import ALL_SPECS, StreamSpec, config_for, improvements, losses

NAME_IN_USE = 10058
SUBJECTS_OVERLAP = 10065
NOT_CLUSTERED = 10074
TRIES = 3
"""Somebody else may create or change the same stream between our look and our act."""
_LOG = logging.getLogger(__name__)


async def ensure_streams(connection: Connection, replicas: int) -> None:
    """See `Bus.ensure_streams`. Whoever comes second finds what it wants and changes nothing."""
    for spec in ALL_SPECS:
        await _ensure(connection, spec, replicas)


async def _ensure(connection: Connection, spec: StreamSpec, replicas: int) -> None:
    failure: BusUnavailable | None = None
    for _ in range(TRIES):
        try:
            existing = await _existing(connection, spec)
            if existing is None:
                await connection.api(f"STREAM.CREATE.{spec.name}", config_for(spec, replicas), timeout_s=API_TIMEOUT_S)
                return
            if lost := losses(spec, existing):
                raise StreamMismatch(f"stream {spec.name} would not keep what it must: {'; '.join(lost)}")
            if changes := improvements(spec, existing, replicas):
                _LOG.warning("stream %s: setting %s", spec.name, changes)
                await connection.api(f"STREAM.UPDATE.{spec.name}", {**existing, **changes}, timeout_s=API_TIMEOUT_S)
            return
        except ApiError as error:
            if error.code == SUBJECTS_OVERLAP:
                raise StreamMismatch(f"stream {spec.name}: another stream already keeps {', '.join(spec.subjects)}") from error
            if error.code == NOT_CLUSTERED:
                raise StreamMismatch(f"stream {spec.name}: {replicas} replicas need a cluster; this server is alone") from error
            if error.code != NAME_IN_USE:
                raise
            failure = error
    assert failure is not None
    raise failure


async def _existing(connection: Connection, spec: StreamSpec) -> dict[str, Any] | None:
    try:
        info = await stream_info(connection, spec.name)
    except ApiError as error:
        if error.code == NO_STREAM:
            return None
        raise
    config: dict[str, Any] = info["config"]
    return config
