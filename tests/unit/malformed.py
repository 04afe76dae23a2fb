"""Bytes that may be no event. For tests."""

import pytest

from libs.events import MalformedEvent, decode


def malformed(subject: str, body: bytes, headers: dict[str, str] | None = None) -> str:
    """The reason. Fails if it is no MalformedEvent."""
    with pytest.raises(MalformedEvent) as caught:
        decode(subject, body, headers)
    assert caught.value.subject == subject
    assert caught.value.reason
    return caught.value.reason
