"""`access.oidc` and `access.oauth`: other services that say who somebody is. Our own sections."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from entrepot.config.section import Section
from entrepot.config.values import NO_SECRET, Duration, Flag, Secret, Text, Url, refuse

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_HTTP = re.compile(r"https?://[^\s/?#@]+[^\s#]*")
#: A bound within which somebody who was removed at a provider loses access here, less the time that asking takes.
LONGEST_CHECK = 240.0
_DAY = 24 * 3600.0


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise refuse("must be 1 to 32 lower-case letters, digits and hyphens: it stands in addresses")
    return name


def _check_url(url: str) -> str:
    if url and not _HTTP.fullmatch(url):
        raise refuse("must be an address such as https://login.example.org/realms/main")
    return url


Name = Annotated[Text, AfterValidator(_check_name)]
HttpUrl = Annotated[Url, AfterValidator(_check_url)]


class _Provider(Section):
    """What both kinds have in common."""

    #: The key of the list, for messages.
    section: ClassVar[str] = ""

    name: Name
    """Short name: in addresses, and in the accounts of its people. Keep it: another name makes other accounts. The
    redirect address to register at the provider is `https://REGISTRY/c/oidc/callback/NAME`."""
    title: Text = ""
    """Name for people, on the page where they choose. Empty: `name`."""
    clientid: Text = Field(min_length=1)
    """Id that the provider gave this registry."""
    clientsecret: Secret = NO_SECRET
    """Secret that it gave with it. Neither this nor `clientsecretfile`: a public client, secured by PKCE alone."""
    clientsecretfile: Text = ""
    """File with the secret, in place of `clientsecret`; it is read when it is needed."""
    groupfilter: Text = ""
    """Regular expression (RE2); only groups whose whole name fits count. Empty: all."""
    allowedgroups: tuple[Text, ...] = ()
    """When given, only people in one of these groups may enter."""
    admingroups: tuple[Text, ...] = ()
    """Groups whose people may do everything."""
    autoonboard: Flag = False
    """Makes the account at the first sign-in, with the provider's name for the person. Else the person is asked for a
    name first."""
    check: Duration = Field(default=180.0, ge=5, le=LONGEST_CHECK)
    """Time after which the provider is asked again, in the background, whether somebody is still there and in which
    groups. At most 4m."""
    offline: Duration = Field(default=_DAY, ge=300, le=30 * _DAY)
    """Time for which accounts and their keys go on working while the provider cannot be asked; after that, until the
    next sign-in or answer, they do not. At least 5m, at most 30 days."""
    ca: Text = ""
    """PEM file with the authorities that sign the provider's certificates. Empty: as `outbound` says."""

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if self.clientsecret.get_secret_value() and self.clientsecretfile:
            raise refuse("clientsecret and clientsecretfile are both set; keep one")
        return self

    @property
    def files(self) -> dict[str, Path]:
        """The files that are named here, by their keys."""
        named = {"ca": self.ca, "clientsecretfile": self.clientsecretfile}
        return {key: Path(path) for key, path in named.items() if path}


class OidcProvider(_Provider):
    """A provider that speaks OpenID Connect, such as Keycloak or GitLab."""

    section: ClassVar[str] = "access.oidc"

    issuer: HttpUrl = Field(min_length=1)
    """Issuer, exactly as its discovery document spells it; the document is below it."""
    scopes: tuple[Text, ...] = ("openid", "profile", "email", "offline_access")
    """Scopes to ask for. With `offline_access` people are asked for their consent (`prompt=consent`), without which
    providers give no refresh token for it; what `parameters` says of `prompt` comes first. Without a refresh token a
    provider can be asked again only while the access token of the sign-in lasts, mostly minutes to an hour."""
    nameclaim: Text = Field(default="preferred_username", min_length=1)
    """Claim with the user name."""
    groupsclaim: Text = "groups"
    """Claim with the groups: a list of texts, or of objects with a `name`. A dot leads into an object. Empty: none."""
    parameters: dict[Text, Text] = Field(default_factory=dict)
    """More parameters of the address that people are sent to, such as `prompt: login`."""
    logout: Flag = True
    """Ends the session at the provider, too, when somebody signs out here."""

    @property
    def doubts(self) -> dict[str, str]:
        """What will not do what it looks like, by key."""
        prompt = self.parameters.get("prompt", "consent").split()
        if "offline_access" not in self.scopes or "consent" in prompt:
            return {}
        return {
            "parameters.prompt": "has no consent, so many providers give no refresh token for offline_access, and "
            "cannot be asked whether people are still there; leave it out, or add consent"
        }


class OAuthGroups(Section):
    """An address that lists groups."""

    url: HttpUrl = Field(min_length=1)
    """Address; further pages are found by its `Link` header."""
    items: Text = ""
    """Where in the answer the list is, names with dots between. Empty: the answer is the list."""
    name: Text = Field(default="{name}", min_length=1)
    """The group's name, made of fields of an entry: `{organization.login}/{slug}`."""


class OAuthProvider(_Provider):
    """A provider of GitHub's kind: OAuth 2.0, and an address that says whose token it is."""

    section: ClassVar[str] = "access.oauth"

    authorizeurl: HttpUrl = Field(min_length=1)
    """Address that people are sent to."""
    tokenurl: HttpUrl = Field(min_length=1)
    """Address that gives a token for a code."""
    userurl: HttpUrl = Field(min_length=1)
    """Address that says whose token it is."""
    scopes: tuple[Text, ...] = ()
    """Scopes to ask for."""
    subject: Text = Field(default="{id}", min_length=1)
    """What never changes of a person, made of fields of that answer."""
    username: Text = Field(default="{login}", min_length=1)
    """The user name, made of fields of that answer."""
    email: Text = "{email}"
    """The e-mail address."""
    realname: Text = "{name}"
    """The name to show."""
    groups: tuple[OAuthGroups, ...] = ()
    """Addresses that list the person's groups."""
    pkce: Flag = True
    """Secures the code by PKCE. Only for a provider that refuses it is this turned off."""
    parameters: dict[Text, Text] = Field(default_factory=dict)
    """More parameters of the address that people are sent to."""
