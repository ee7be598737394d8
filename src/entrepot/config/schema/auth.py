"""`auth`: who may do what, as registry:2 knows it; and `access`, our own accounts and tokens."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from entrepot.config.schema.ldap import Ldap
from entrepot.config.schema.providers import LONGEST_CHECK, OAuthProvider, OidcProvider
from entrepot.config.schema.rates import Rates
from entrepot.config.schema.sessions import Sessions
from entrepot.config.section import Choice, Section
from entrepot.config.values import Duration, Flag, Text, as_plain_text, refuse

Algorithm = Annotated[Literal["ES256", "EdDSA"], BeforeValidator(as_plain_text)]
#: What may sign another issuer's tokens: every algorithm whose signer keeps a secret that the verifier does not have.
SIGNING_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


def _check_signing(algorithm: str) -> str:
    if algorithm not in SIGNING_ALGORITHMS:
        raise refuse(f"{algorithm} cannot be used; choose from {', '.join(SIGNING_ALGORITHMS)}")
    return algorithm


SigningAlgorithm = Annotated[Text, AfterValidator(_check_signing)]


class Silly(Section):
    """A make-believe sign-in for developing registry:2 itself."""

    is_map: ClassVar[bool] = True

    realm: Text = Field(min_length=1)
    """Realm of the challenge."""
    service: Text = Field(min_length=1)
    """Service of the challenge."""


class Htpasswd(Section):
    """Names and bcrypt passwords in a file made by `htpasswd -B`."""

    is_map: ClassVar[bool] = True

    realm: Text = Field(min_length=1)
    """Realm of the challenge."""
    path: Text = Field(min_length=1)
    """The file. It is read again when it changes; entries that are not bcrypt do not count."""


class TokenAuth(Section):
    """Tokens that somebody else issues and this registry verifies."""

    is_map: ClassVar[bool] = True

    realm: Text = ""
    """URL where clients get tokens. Required, unless `autoredirect` is on."""
    service: Text = Field(min_length=1)
    """Name of this registry: the audience of its tokens."""
    issuer: Text = Field(min_length=1)
    """Issuer that the tokens must have."""
    rootcertbundle: Text = ""
    """PEM file with the certificates, or public keys, that tokens may be signed with. This or `jwks` is required."""
    jwks: Text = ""
    """JSON Web Key Set file with the public keys that tokens may be signed with."""
    signingalgorithms: tuple[SigningAlgorithm, ...] = ()
    """Signature algorithms to accept. Empty: every asymmetric one that we know."""
    autoredirect: Flag = False
    """Makes the realm out of the request's Host and `autoredirectpath`."""
    autoredirectpath: Text = "/auth/token"
    """Path of that realm."""


class NoAuth(Section):
    """No sign-in: an open registry."""

    is_map: ClassVar[bool] = True


class OwnAccounts(Section):
    """Accounts of this registry, and people of the directory or the providers that `access` names."""

    is_map: ClassVar[bool] = True


class Auth(Choice):
    """At most one way to sign in. In a configuration file, none means an open registry, as in registry:2."""

    noun: ClassVar[str] = "auth type"

    htpasswd: Htpasswd | None = None
    """Names and bcrypt passwords in a file."""
    token: TokenAuth | None = None
    """Tokens that somebody else issues."""
    accounts: OwnAccounts | None = None
    """Accounts of this registry: what a start without a file has, too. Our own key."""
    silly: Silly | None = None
    """A make-believe sign-in: any Authorization header will do. A warning says so."""
    none: NoAuth | None = None
    """No sign-in: an open registry."""


class IssuedTokens(Section):
    """Tokens that this registry issues at `/token`. Its keys are made at the first start."""

    issuer: Text = Field(default="entrepot", min_length=1)
    """Issuer of the tokens."""
    service: Text = Field(default="entrepot", min_length=1)
    """Service named in the challenge, and audience of the tokens."""
    expiration: Duration = Field(default=300.0, ge=60)
    """Life of a token, at least 60s. An upload authorised when it was opened may finish after that."""
    refresh: Flag = False
    """Hands out refresh tokens: `docker login` keeps one in place of the password. Podman, Skopeo and Kubernetes cannot
    use what it has kept then. Those that were handed out before work until their end."""
    refreshexpiration: Duration = Field(default=30 * 24 * 3600.0, ge=60)
    """Life of a refresh token after its last use; without `refresh`, no use prolongs one."""
    exchangeexpiration: Duration = Field(default=900.0, ge=60, le=3600)
    """Life of a token that a CI job gets for the token of its CI service, 60s to 1h: as long as a build takes."""
    algorithm: Algorithm = "ES256"
    """Algorithm of the signing key."""


class SecondFactor(Section):
    """One-time codes and security keys beside the password."""

    administrators: Flag = False
    """Requires one of whoever may administer the registry: without, their password is good for nothing but setting
    one up. API keys, robots and people of a sign-in provider are not affected."""


class Passwords(Section):
    """Which passwords people may choose."""

    shortest: int = Field(default=12, ge=8, le=64)
    """Characters that a new password has at the least. Harbor asks for 8."""
    common: Flag = False
    """Takes passwords that everybody tries first, and those that are little more than the account's name, as Harbor
    does."""


class Access(Section):
    """Accounts and tokens of this registry (our own section)."""

    token: IssuedTokens = IssuedTokens()
    """Tokens that this registry issues."""
    sessions: Sessions = Sessions()
    """Browsers that are signed in."""
    passwords: Passwords = Passwords()
    """Which passwords people may choose."""
    secondfactor: SecondFactor = SecondFactor()
    """One-time codes and security keys beside the password."""
    limits: Rates = Rates()
    """How many requests in how much time."""
    ldap: Ldap = Ldap()
    """A directory whose people may sign in."""
    oidc: tuple[OidcProvider, ...] = ()
    """Services that say who somebody is, by OpenID Connect."""
    oauth: tuple[OAuthProvider, ...] = ()
    """Services of GitHub's kind that say who somebody is, by OAuth 2.0."""

    @property
    def providers(self) -> tuple[OidcProvider | OAuthProvider, ...]:
        """The services that say who somebody is, of either kind."""
        return (*self.oidc, *self.oauth)

    @property
    def has_providers(self) -> bool:
        """Whether there is one."""
        return bool(self.providers)

    @property
    def shortest_check(self) -> float:
        """The shortest time, in seconds, after which one of them is asked again."""
        return min((provider.check for provider in self.providers), default=LONGEST_CHECK)
