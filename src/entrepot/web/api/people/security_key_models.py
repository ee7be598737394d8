"""How security keys are written in requests and answers; what browsers read is spelled as the Web's standard does."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from entrepot.access.second_factor.security_keys import Registered
from entrepot.metadata.people.security_keys import SecurityKeyRecord
from entrepot.web.api.values import moment, moment_or_none

_EXAMPLE: Final[dict[str, Any]] = {
    "id": 4,
    "name": "blue key",
    "host": "registry.example.org",
    "aaguid": "ee882879-721c-4913-9775-3dfcce97072a",
    "transports": ["usb", "nfc"],
    "backed_up": False,
    "creation_time": "2026-01-02T03:04:05Z",
    "last_used": "2026-02-03T04:05:06Z",
}
_CHALLENGE: Final = "6Q5uHh5bKZ5bJ4WkVdG2mR2m8dM0sH5tXGq1o0YyT3c"

Name = Annotated[str, Field(min_length=1, max_length=64)]
#: What a browser has from a key, in base64url.
_Answer = Annotated[str, Field(min_length=1, max_length=16_384, pattern=r"^[A-Za-z0-9_-]+$")]


class SecurityKey(BaseModel):
    """A key; `backed_up` is true of passkeys that their maker copies to the owner's other devices."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: int
    name: str
    host: str
    aaguid: str
    transports: list[str]
    backed_up: bool
    creation_time: datetime
    last_used: datetime | None

    @classmethod
    def of(cls, record: SecurityKeyRecord) -> SecurityKey:
        """Return what is shown of a key."""
        return cls(**_fields(record))


class SecurityKeyMade(SecurityKey):
    """A new key; with one's first second factor come recovery codes, shown this one time."""

    model_config = ConfigDict(
        json_schema_extra={"example": {**_EXAMPLE, "last_used": None, "recovery_codes": ["abcd-efgh-jkmn-pqrs"]}}
    )

    recovery_codes: list[str]

    @classmethod
    def made(cls, registered: Registered) -> SecurityKeyMade:
        """Return what is shown of a key once."""
        return cls(**_fields(registered.key), recovery_codes=list(registered.recovery_codes))


class PasswordIn(BaseModel):
    """One's password, once more."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"password": "seven boats at anchor"}})

    password: Annotated[str, Field(max_length=1024)]


class NameIn(BaseModel):
    """What to call a key."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "blue key"}})

    name: Name


class RegistrationIn(BaseModel):
    """What `navigator.credentials.create` gave: `clientDataJSON`, `attestationObject` and `getTransports()`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "blue key",
                "client_data": "eyJ0eXBlIjoid2ViYXV0aG4uY3JlYXRlIn0",
                "attestation_object": "o2NmbXRkbm9uZWdhdHRTdG10oGhhdXRoRGF0YUA",
                "transports": ["usb", "nfc"],
            }
        },
    )

    name: Name
    client_data: _Answer
    attestation_object: _Answer
    transports: Annotated[list[Annotated[str, Field(max_length=32)]], Field(max_length=16)] = []


class _Web(BaseModel):
    """Something that a browser reads."""

    model_config = ConfigDict(alias_generator=to_camel)


class PartyOut(_Web):
    """Whom the key will sign for."""

    id: str
    name: str


class PersonOut(_Web):
    """Whose key it will be."""

    id: str
    name: str
    display_name: str


class AlgorithmOut(_Web):
    """What the key may sign with (COSE)."""

    type: Literal["public-key"]
    alg: int


class DescriptorOut(_Web):
    """A key that is known."""

    type: Literal["public-key"]
    id: str
    transports: list[str]


class SelectionOut(_Web):
    """Which keys are wanted."""

    resident_key: Literal["preferred"]
    user_verification: Literal["preferred"]


class CreationOptions(_Web):
    """What `navigator.credentials.create` needs; binary values are in base64url."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        json_schema_extra={
            "example": {
                "rp": {"id": "registry.example.org", "name": "registry.example.org"},
                "user": {"id": _CHALLENGE, "name": "alice", "displayName": "alice"},
                "challenge": _CHALLENGE,
                "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
                "timeout": 300000,
                "excludeCredentials": [{"type": "public-key", "id": _CHALLENGE, "transports": ["usb"]}],
                "authenticatorSelection": {"residentKey": "preferred", "userVerification": "preferred"},
                "attestation": "none",
            }
        },
    )

    rp: PartyOut
    user: PersonOut
    challenge: str
    pub_key_cred_params: list[AlgorithmOut]
    timeout: int
    exclude_credentials: list[DescriptorOut]
    authenticator_selection: SelectionOut
    attestation: Literal["none"]


def _fields(record: SecurityKeyRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "host": record.host,
        "aaguid": record.aaguid,
        "transports": record.transports.split(",") if record.transports else [],
        "backed_up": record.backed_up,
        "creation_time": moment(record.created_at),
        "last_used": moment_or_none(record.last_used_at),
    }
