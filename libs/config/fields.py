"""What a key's value may be: types, ranges and their words for the operator. Used by groups."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

PATTERNS_MAX = 2000  # in one list; stock rAthena has 1271 maps

ADDRESS_PATTERN = r"^([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([1-9][0-9]{0,4})$"
MAP_PATTERN = r"^[A-Za-z0-9_@*?-]{1,32}$"  # a map name (DESIGN section 4) in which * and ? are wild
REGION_PATTERN = r"^[A-Za-z0-9_@-]{1,32}$"
NATS_PATTERN = r"^(nats|tls|ws|wss)://[^\s,]+(,(nats|tls|ws|wss)://[^\s,]+)*$"

LOGIN_PATTERN = r"^[\x21-\x7e]{1,23}$"  # what a map-server's conf can hold

ADDRESS_ALLOWED = '"host:port", port from 1 to 65535'
BUNDLE_PATTERN = r"^[!-~]{0,128}$"  # what host.metrics can say

BUNDLE_ALLOWED = 'what `kafra bundle make` says at its end, or ""'
LOGIN_ALLOWED = "1 to 23 characters without blanks"
PATTERNS_ALLOWED = (
    f'a list of at most {PATTERNS_MAX} map names and globs, e.g. ["pay_dun0?", "gef_fild*"], 1 to 32 characters each'
)


def _one_or_zero(value: object) -> object:
    return bool(value) if type(value) is int and value in (0, 1) else value


def _port_in_range(address: str) -> str:
    if int(address.rpartition(":")[2]) > 65535:
        raise ValueError("port")
    return address


Flag = Annotated[bool, Field(strict=True), BeforeValidator(_one_or_zero)]
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False), AfterValidator(lambda value: value + 0.0)]  # no -0.0
Text = Annotated[str, Field(strict=True)]
Address = Annotated[str, Field(strict=True, pattern=ADDRESS_PATTERN), AfterValidator(_port_in_range)]
AddressOrNone = Annotated[
    str,
    Field(strict=True, pattern=rf"^$|{ADDRESS_PATTERN}"),
    AfterValidator(lambda text: _port_in_range(text) if text else text),
]
Patterns = tuple[Annotated[str, Field(strict=True, pattern=MAP_PATTERN)], ...]
RegionName = Annotated[str, Field(strict=True, pattern=REGION_PATTERN)]


def between(low: float, high: float, default: float) -> Any:
    """A field whose value lies in [low, high]."""
    return Field(default=default, ge=low, le=high)


def patterns(*names: str) -> Any:
    """A field with a list of map names and globs."""
    return Field(default=names, max_length=PATTERNS_MAX, description=PATTERNS_ALLOWED)


def address(default: str) -> Any:
    """A field with a "host:port"."""
    return Field(default=default, description=ADDRESS_ALLOWED)


def address_or_none(default: str) -> Any:
    """A field with a "host:port", or none."""
    return Field(default=default, description=f'{ADDRESS_ALLOWED}, or ""')


def path_of(what: str) -> Any:
    """A field with the path of something, or none."""
    return Field(default="", max_length=4096, description=f'the path of {what}, or ""')


class Group(BaseModel):
    """One `name: { ... };` of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
