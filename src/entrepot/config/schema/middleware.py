"""`middleware`: what registry:2 wraps around itself. Of the storage's, those that send clients elsewhere for blobs.

Each of these has its section of options here, by its name in `STORAGE_MIDDLEWARE`, and those of CDNs their signer in
`adapters/cdn`.
"""

from base64 import b64decode, urlsafe_b64decode
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from entrepot.config.section import Section
from entrepot.config.values import (
    NO_SECRET,
    Duration,
    Flag,
    Opaque,
    Secret,
    Text,
    Url,
    as_plain_text,
    lowered,
    refuse,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_MINUTE: Final = 60.0


class MiddlewareEntry(Section):
    """One middleware."""

    name: Text = ""
    """Name of the middleware."""
    disabled: Flag = False
    """Leaves it out."""
    options: Opaque = Field(default_factory=dict)
    """Its parameters."""


def _with_scheme(url: str) -> str:
    return url if "://" in url else f"https://{url}"


def _check_base(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if (
        parts.scheme not in {"http", "https"}
        or not parts.netloc
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
    ):
        raise refuse("must be a URL with scheme and host, such as https://cdn.example.org/registry")
    return url.rstrip("/")


def _is_given(text: str) -> str:
    if not text:
        raise refuse("must not be empty")
    return text


def _split(value: object) -> object:
    """A list, or registry:2's text with commas."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


#: A URL to which names of blobs are added; without a scheme, https.
Base = Annotated[Url, AfterValidator(_with_scheme), AfterValidator(_check_base)]
Required = Annotated[Text, AfterValidator(_is_given)]
Words = Annotated[tuple[Text, ...], BeforeValidator(_split)]


def _raised(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class Rewrite(Section):
    """`rewrite` (registry:3): changes the URL that the storage would give. A signature of the host breaks by it."""

    scheme: Text = ""
    """Scheme in place of the storage's."""
    host: Text = ""
    """Host in place of the storage's."""
    trimpathprefix: Text = ""
    """Beginning of the path that is left out."""


class PlainRedirect(Section):
    """`redirect` (registry:2): unsigned URLs, for whoever else guards the bytes, or for bytes that are public."""

    baseurl: Annotated[Url, AfterValidator(_check_base)]
    """URL to which registry:2's path of the blob is added, without `rootdirectory`. It needs a scheme."""


class Cdn(Section):
    """What is said of every CDN."""

    #: Whether the vendor knows nothing better than MD5; `config check` says so.
    is_md5: ClassVar[bool] = False

    baseurl: Base
    """URL of the CDN; the blob's name in the bucket is added. Without a scheme, https."""
    duration: Annotated[Duration, Field(ge=10)] = 20 * _MINUTE
    """How long a URL is good for, at most; one is given to all for half of it. At least 10s. Where the vendor's own
    settings hold the span, it must be the same there."""


class KeyedCdn(Cdn):
    """A CDN that shares a key with us."""

    key: Secret = NO_SECRET
    """The key. The CDN may know a second one, so that it can be changed without a gap."""
    keyfile: Text = ""
    """File with the key, in place of `key`."""

    @model_validator(mode="after")
    def _has_key(self) -> Self:
        if bool(self.key.get_secret_value()) == bool(self.keyfile):
            raise refuse("give either 'key' or 'keyfile'")
        return self

    def key_bytes(self) -> bytes:
        """Return the key.

        Raises:
            OSError: Its file cannot be read.
            ValueError: It is not written as this vendor writes keys.
        """
        return self.decode(Path(self.keyfile).read_text().strip() if self.keyfile else self.key.get_secret_value())

    def decode(self, text: str) -> bytes:
        """Return the key that is written so; raise ValueError when it cannot be."""
        return text.encode()


class CloudFront(Cdn):
    """`cloudfront` (registry:2): Amazon CloudFront, by its canned policy."""

    privatekey: Required
    """PEM file with the RSA key, in PKCS#1 or PKCS#8."""
    keypairid: Required
    """Id of the key pair at CloudFront."""
    ipfilteredby: Annotated[Literal["", "none", "aws", "awsregion"], BeforeValidator(lowered)] = "none"
    """`aws` sends clients in Amazon's networks to S3 itself, `awsregion` those in the regions of `awsregion`."""
    awsregion: Words = ()
    """Regions, with commas between."""
    iprangesurl: Url = "https://ip-ranges.amazonaws.com/ip-ranges.json"
    """Where Amazon's networks are listed."""
    updatefrequency: Annotated[Duration, Field(gt=0)] = 12 * 60 * _MINUTE
    """Time between two readings of that list; also as `updatefrenquency`, as registry:2 once spelt it."""

    def private_key(self) -> "RSAPrivateKey":
        """Return the key.

        Raises:
            OSError: Its file cannot be read.
            ValueError: It holds no RSA key.
        """
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415 - few have it
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - as above

        key = load_pem_private_key(Path(self.privatekey).read_bytes(), password=None)
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("it is no RSA key")  # noqa: TRY004 - as for what is no key at all
        return key

    @classmethod
    def normalize(cls, tree: object) -> object:
        """Read registry:2's old spelling."""
        if isinstance(tree, Mapping) and "updatefrenquency" in tree:
            return {"updatefrequency": tree["updatefrenquency"], **tree}
        return tree

    @model_validator(mode="after")
    def _has_regions(self) -> Self:
        if self.ipfilteredby == "awsregion" and not self.awsregion:
            raise refuse("ipfilteredby: awsregion needs 'awsregion', such as us-east-1,eu-west-1")
        return self


class Cloudflare(KeyedCdn):
    """`cloudflare`: Cloudflare, checked by a rule with `is_timed_hmac_valid_v0`."""

    parameter: Required = "verify"
    """Name of the parameter; the rule's length of the separator is that of `?verify=`."""


class Akamai(KeyedCdn):
    """`akamai`: Akamai EdgeAuth 2.0 with SHA-256, over the URL. The key is in hexadecimal digits."""

    tokenname: Required = "__token__"
    """Name of the parameter with the token."""
    salt: Secret = NO_SECRET
    """Salt, where one is set there."""

    def decode(self, text: str) -> bytes:
        """See `KeyedCdn`."""
        return bytes.fromhex(text)


class GoogleCdn(KeyedCdn):
    """`googlecdn`: Google Cloud CDN. The key is in URL-safe Base64; GitLab's `privatekey` counts as `keyfile`."""

    keyname: Required
    """Name of the key there."""

    @classmethod
    def normalize(cls, tree: object) -> object:
        """Read GitLab's name of the key's file."""
        if isinstance(tree, Mapping) and "privatekey" in tree:
            return {"keyfile": tree["privatekey"], **tree}
        return tree

    def decode(self, text: str) -> bytes:
        """See `KeyedCdn`."""
        return urlsafe_b64decode(text)


class AlibabaCdn(KeyedCdn):
    """`alibabacdn`: URL signing of Alibaba Cloud CDN. Its span must be set to `duration` there."""

    is_md5: ClassVar[bool] = True

    type: Annotated[Literal["A", "B", "C"], BeforeValidator(_raised)] = "A"
    """Form of the signature: `A`, `B` or `C`."""


class TencentCdn(KeyedCdn):
    """`tencentcdn`: authentication by timestamp of Tencent Cloud CDN. Its span must be set to `duration` there."""

    is_md5: ClassVar[bool] = True

    type: Annotated[Literal["A", "B", "C", "D"], BeforeValidator(_raised)] = "A"
    """Form of the signature: `A`, `B`, `C` or `D`."""
    signature: Required = "sign"
    """Name of the parameter with the signature (`A`, `D`)."""
    timestamp: Required = "t"
    """Name of the parameter with the time (`D`)."""


#: What the forms of a signed URL may name.
PLACEHOLDERS: Final = frozenset({"key", "origin", "path", "begins", "expires", "begins_hex", "expires_hex", "minute"})


def _check_form(form: str, allowed: frozenset[str]) -> str:
    try:
        names = {name for _, name, *_ in Formatter().parse(form) if name is not None}
    except ValueError:
        raise refuse("has a brace without its other half") from None
    if not names <= allowed:
        raise refuse(f"may name, in braces, nothing but {', '.join(sorted(allowed))}")
    if "path" not in names:
        raise refuse("must have {path}, or one URL would open all blobs")
    return form


class SignedUrl(KeyedCdn):
    """`signedurl`: any other that checks a keyed hash in the URL; the form is given."""

    message: Annotated[Required, AfterValidator(lambda form: _check_form(form, PLACEHOLDERS))] = "{path}{expires}"
    """What is hashed. In braces: `path`, `expires` and `begins` (seconds since 1970), the same with `_hex`, `minute`
    (`begins` as YYYYMMDDHHMM in UTC+8), `origin` (scheme and host), and `key`, for `md5` and `sha256`."""
    url: Annotated[Required, AfterValidator(lambda form: _check_form(form, PLACEHOLDERS - {"key"} | {"signature"}))] = (
        "{path}?token={expires}_{signature}"
    )
    """Path and parameters of the URL; in braces the same, without `key`, and `signature`."""
    hash: Annotated[
        Literal["hmac-sha256", "hmac-sha1", "sha256", "md5"],
        BeforeValidator(lowered),
        BeforeValidator(as_plain_text),
    ] = "hmac-sha256"
    """How it is hashed: with the key as HMAC, or plainly where the message holds the key."""
    encoding: Annotated[Literal["hex", "base64", "base64url"], BeforeValidator(lowered)] = "hex"
    """How the signature is written; `base64url` is without padding."""
    keyencoding: Annotated[Literal["text", "hex", "base64"], BeforeValidator(lowered)] = "text"
    """How the key is written."""

    @model_validator(mode="after")
    def _is_keyed(self) -> Self:
        if self.hash in {"sha256", "md5"} and "{key}" not in self.message:
            raise refuse(f"hash: {self.hash} needs {{key}} in 'message', or anybody could sign")
        return self

    def decode(self, text: str) -> bytes:
        """See `KeyedCdn`."""
        if self.keyencoding == "hex":
            return bytes.fromhex(text)
        return b64decode(text, validate=True) if self.keyencoding == "base64" else text.encode()


class Fastly(SignedUrl):
    """`fastly`: Fastly, checked in VCL; `signedurl` with the form of its guide."""


class SecureLink(SignedUrl):
    """`securelink`: nginx's `secure_link`; `signedurl` with that module's form."""

    message: Annotated[Required, AfterValidator(lambda form: _check_form(form, PLACEHOLDERS))] = "{expires}{path} {key}"
    """As `secure_link_md5` has it."""
    url: Annotated[Required, AfterValidator(lambda form: _check_form(form, PLACEHOLDERS - {"key"} | {"signature"}))] = (
        "{path}?md5={signature}&expires={expires}"
    )
    """As `secure_link` has it."""
    hash: Annotated[Literal["md5"], BeforeValidator(lowered)] = "md5"
    """The only one that nginx offers."""
    encoding: Annotated[Literal["base64url"], BeforeValidator(lowered)] = "base64url"
    """As nginx reads it."""


#: The storage's middleware that there is, by name, and its options.
STORAGE_MIDDLEWARE: Final[Mapping[str, type[Section]]] = {
    "cloudfront": CloudFront,
    "redirect": PlainRedirect,
    "rewrite": Rewrite,
    "akamai": Akamai,
    "alibabacdn": AlibabaCdn,
    "cloudflare": Cloudflare,
    "fastly": Fastly,
    "googlecdn": GoogleCdn,
    "securelink": SecureLink,
    "signedurl": SignedUrl,
    "tencentcdn": TencentCdn,
}


class StorageMiddleware(MiddlewareEntry):
    """Middleware around the storage: where clients are sent for blobs."""

    name: Text = ""
    """`cloudfront`, `redirect`, `rewrite`, or one of our own: `akamai`, `alibabacdn`, `cloudflare`, `fastly`,
    `googlecdn`, `securelink`, `signedurl`, `tencentcdn`. Another one stops the start."""
    options: Opaque = Field(default_factory=dict)
    """Its parameters, see [below](#options-of-middlewarestorage)."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if not self.disabled and self.name in STORAGE_MIDDLEWARE:
            try:
                _ = self.settings
            except ValidationError as error:
                raise refuse(f"{self.name}: {_explain(error)}") from None
        return self

    @property
    def is_known(self) -> bool:
        """Whether there is such a middleware."""
        return self.name in STORAGE_MIDDLEWARE

    @property
    def settings(self) -> Section:
        """The options, as typed values."""
        return STORAGE_MIDDLEWARE[self.name].model_validate(self.options)


def _explain(error: ValidationError) -> str:
    """Say what is wrong with options in one line, without their values."""
    found = []
    for each in error.errors(include_url=False, include_input=False):
        key = ".".join(map(str, each["loc"]))
        text = "is required" if each["type"] == "missing" else each["msg"]
        found.append(f"options.{key} {text}" if key else text)
    return "; ".join(found)


class Middleware(Section):
    """Parts that registry:2 wraps around itself. Of the registry and of repositories there are none here."""

    is_map: ClassVar[bool] = True

    registry: tuple[MiddlewareEntry, ...] = ()
    """Middleware around the registry. An entry that is not disabled stops the start."""
    repository: tuple[MiddlewareEntry, ...] = ()
    """Middleware around each repository. An entry that is not disabled stops the start."""
    storage: tuple[StorageMiddleware, ...] = ()
    """Middleware around the storage, the first innermost: where clients are sent for blobs."""
