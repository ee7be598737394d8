"""`health`: checks whose failure takes the registry out of rotation."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from entrepot.config.address import parse_address
from entrepot.config.section import Section
from entrepot.config.values import Count, Duration, Flag, Secret, Text, Url, refuse

USUAL_INTERVAL = 10.0
_USUAL_STATUS = 200


def _or_usual(seconds: float) -> float:
    return seconds or USUAL_INTERVAL


def _or_ok(status: int) -> int:
    return status or _USUAL_STATUS


def _check_tcp(text: str) -> str:
    try:
        parse_address(text)
    except ValueError as error:
        raise refuse(f"{error}; write it as host:port") from None
    return text


#: 0 is what Go has for a key that is not there.
Interval = Annotated[Duration, AfterValidator(_or_usual)]
Status = Annotated[Count, AfterValidator(_or_ok)]


class StorageDriverCheck(Section):
    """A look at the storage."""

    enabled: Flag = False
    """Looks whether the storage answers."""
    interval: Interval = USUAL_INTERVAL
    """Time between two looks."""
    threshold: Count = 0
    """Failures in a row before the registry counts as unhealthy; 0 means one."""


class FileCheck(Section):
    """A file whose existence makes the registry unhealthy."""

    file: Text = Field(min_length=1)
    """Path of the file."""
    interval: Interval = USUAL_INTERVAL
    """Time between two looks."""
    threshold: Count = 0
    """Failures in a row before the registry counts as unhealthy; 0 means one."""


class HttpCheck(Section):
    """A URL that must answer HEAD."""

    uri: Url = Field(min_length=1)
    """The URL."""
    headers: dict[Text, tuple[Secret, ...]] = Field(default_factory=dict)
    """Header fields of the request, each with a list of values. Shown masked: they often hold credentials."""
    statuscode: Status = _USUAL_STATUS
    """Status that counts as healthy."""
    timeout: Duration = 0.0
    """Longest wait for an answer; 0s: the interval."""
    interval: Interval = USUAL_INTERVAL
    """Time between two requests."""
    threshold: Count = 0
    """Failures in a row before the registry counts as unhealthy; 0 means one."""


class TcpCheck(Section):
    """An address that must accept connections."""

    addr: Annotated[Text, AfterValidator(_check_tcp)] = Field(min_length=1)
    """Host and port."""
    timeout: Duration = 0.0
    """Longest wait for the connection; 0s: the interval."""
    interval: Interval = USUAL_INTERVAL
    """Time between two connections."""
    threshold: Count = 0
    """Failures in a row before the registry counts as unhealthy; 0 means one."""


class Health(Section):
    """Checks whose failure takes the registry out of rotation. They answer at `/debug/health`."""

    variables: ClassVar[Mapping[str, str]] = {"file": "FILECHECKERS", "http": "HTTPCHECKERS", "tcp": "TCPCHECKERS"}

    storagedriver: StorageDriverCheck = StorageDriverCheck()
    """A look at the storage."""
    file: tuple[FileCheck, ...] = ()
    """Files whose existence makes the registry unhealthy."""
    http: tuple[HttpCheck, ...] = ()
    """URLs that must answer HEAD."""
    tcp: tuple[TcpCheck, ...] = ()
    """Addresses that must accept connections."""
