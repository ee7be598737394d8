"""What this version cannot do with a configuration that is otherwise right.

Where ignoring a section would be unsafe (bytes in the wrong place, lost events, an access rule that does not hold),
it stops the start. Where it only loses comfort, it warns. `RULES` is the whole list; the reference page shows it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from entrepot.config.schema import Config
from entrepot.config.schema.cloud_storage import S3, Azure
from entrepot.config.schema.metadata import SCHEMES
from entrepot.config.schema.middleware import Cdn, CloudFront, PlainRedirect, Rewrite, SignedUrl, StorageMiddleware
from entrepot.config.section import Section


class Severity(StrEnum):
    """What happens when a rule applies."""

    STOPS = "stops the start"
    WARNS = "warns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A use of the configuration that this version does not support."""

    #: The key, for the reference page.
    key: str
    severity: Severity
    #: Says when it applies, for the reference page.
    when: str
    #: What to tell the operator, who sees it after the key.
    message: str
    #: The keys to which it applies in a configuration.
    find: Callable[[Config], Iterable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What the rules say of one configuration."""

    warnings: list[str]
    problems: list[str]


def review(config: Config) -> Review:
    """Hold the configuration against every rule."""
    found: dict[Severity, list[str]] = {severity: [] for severity in Severity}
    for rule in RULES:
        found[rule.severity].extend(f"{key}: {rule.message}" for key in rule.find(config))
    return Review(warnings=found[Severity.WARNS], problems=found[Severity.STOPS])


def _when(key: str, applies: Callable[[Config], object]) -> Callable[[Config], Iterable[str]]:
    return lambda config: [key] if applies(config) else []


def _stops(key: str, when: str, message: str, applies: Callable[[Config], object]) -> Rule:
    return Rule(key=key, severity=Severity.STOPS, when=when, message=message, find=_when(key, applies))


def _warns(key: str, when: str, message: str, applies: Callable[[Config], object]) -> Rule:
    return Rule(key=key, severity=Severity.WARNS, when=when, message=message, find=_when(key, applies))


def _driver(name: str, message: str) -> Rule:
    return _stops(f"storage.{name}", "chosen", message, lambda config: config.storage.type == name)


def _active_endpoints(config: Config) -> Iterator[str]:
    for index, endpoint in enumerate(config.notifications.endpoints):
        if not endpoint.disabled:
            yield f"notifications.endpoints[{index}]"


def _unknown_middleware(config: Config) -> Iterator[str]:
    for place in ("registry", "repository", "storage"):
        for index, entry in enumerate(getattr(config.middleware, place)):
            if not (entry.disabled or (isinstance(entry, StorageMiddleware) and entry.is_known)):
                yield f"middleware.{place}[{index}]"


def _storage_middleware(applies: Callable[[Config, Section], object]) -> Callable[[Config], Iterable[str]]:
    def find(config: Config) -> Iterator[str]:
        for index, entry in enumerate(config.middleware.storage):
            if not entry.disabled and entry.is_known and applies(config, entry.settings):
                yield f"middleware.storage[{index}]"

    return find


def _cache_without_use(config: Config) -> bool:
    redirect = config.storage.redirect
    is_set = bool(config.storage.cache.disk.rootdirectory) and config.storage.filesystem is None
    return is_set and not (redirect.disable or redirect.excepted)


def _is_md5(_config: Config, options: Section) -> bool:
    return (isinstance(options, Cdn) and options.is_md5) or (isinstance(options, SignedUrl) and options.hash == "md5")


def _has_our_host(config: Config, options: Section) -> bool:
    own = urlsplit(config.http.host).hostname
    base = options.baseurl if isinstance(options, Cdn | PlainRedirect) else ""
    return own is not None and urlsplit(base).hostname == own


def _active_hooks(config: Config) -> Iterator[str]:
    for index, hook in enumerate(config.log.hooks):
        if not hook.disabled:
            yield f"log.hooks[{index}]"


def _is_no_postgres(config: Config) -> bool:
    url = config.metadata.url.get_secret_value()
    return bool(url) and not url.startswith(SCHEMES)


def _lacks_databases(config: Config) -> bool:
    return config.storage.type in _OBJECT_STORES and not (config.on_server or config.metadata.folder)


def _clear_passwords(config: Config) -> bool:
    return not (config.http.tls.enabled or config.http.address.is_local or config.open_registry)


_OBJECT_STORES = frozenset({"s3", "azure", "gcs"})
_TO_COME = "is still to come in a later version"

_STORAGE_CLASSES = frozenset(
    {
        "NONE",
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "OUTPOSTS",
        "GLACIER_IR",
        "EXPRESS_ONEZONE",
    }
)
_ACLS = frozenset(
    {
        "private",
        "public-read",
        "public-read-write",
        "aws-exec-read",
        "authenticated-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
    }
)
_DEBUGGED = ("signing", "httpbody", "requestretries", "requesterrors", "eventstreambody")
_LOG_LEVELS = frozenset({"", "off", "false", "debug", *(f"debugwith{part}" for part in _DEBUGGED)})
_SMALLEST_PART, _LARGEST_PART = 5 << 20, 5 << 30


def _s3(key: str, when: str, message: str, applies: Callable[[S3], object]) -> Rule:
    return _stops(f"storage.s3.{key}", when, message, lambda config: config.storage.s3 and applies(config.storage.s3))


_S3_RULES: tuple[Rule, ...] = (
    _s3("bucket", "not set", "is required: the name of the bucket", lambda s3: not s3.bucket),
    _s3(
        "region",
        "not set, without `regionendpoint`",
        "is required: the bucket's AWS region; for a service other than AWS set regionendpoint",
        lambda s3: not (s3.region or s3.regionendpoint),
    ),
    _s3(
        "v4auth",
        "false",
        "set it to true or remove it: signatures of version 2, which only old services want, are not made any more",
        lambda s3: not s3.v4auth,
    ),
    _s3(
        "secretkey",
        "one of `accesskey` and `secretkey` is not set",
        "goes with accesskey: set both, or none to have them from the environment, a file or a role",
        lambda s3: bool(s3.accesskey) != bool(s3.secretkey.get_secret_value()),
    ),
    _s3(
        "chunksize",
        "less than 5 MiB or more than 5 GiB",
        "give a number between 5242880 (5 MiB) and 5368709120 (5 GiB)",
        lambda s3: not _SMALLEST_PART <= s3.chunksize <= _LARGEST_PART,
    ),
    _s3(
        "storageclass",
        "none of S3's classes that can be read at once",
        f"name one of {', '.join(sorted(_STORAGE_CLASSES))}",
        lambda s3: s3.storageclass.upper() not in _STORAGE_CLASSES,
    ),
    _s3(
        "objectacl",
        "no canned ACL",
        f"name one of {', '.join(sorted(_ACLS))}",
        lambda s3: s3.objectacl not in _ACLS,
    ),
    _s3(
        "loglevel",
        "none of registry:2's",
        f"name off, debug, or debugwith and one of {', '.join(_DEBUGGED)}",
        lambda s3: s3.loglevel.lower() not in _LOG_LEVELS,
    ),
)


def _azure(key: str, when: str, message: str, applies: Callable[[Azure], object]) -> Rule:
    return _stops(
        f"storage.azure.{key}", when, message, lambda config: config.storage.azure and applies(config.storage.azure)
    )


_AZURE_RULES: tuple[Rule, ...] = (
    _azure("container", "not set", "is required: the name of the container", lambda azure: not azure.container),
    _azure(
        "accountname",
        "not set, without `connectionstring`",
        "is required: the name of the storage account; or set connectionstring",
        lambda azure: not (azure.accountname or azure.connectionstring.get_secret_value()),
    ),
    _azure(
        "accountkey",
        "not set, with `credentials.type: shared_key`",
        "is required, since credentials.type is shared_key",
        lambda azure: azure.credentials.type == "shared_key" and not azure.accountkey.get_secret_value(),
    ),
    _azure(
        "credentials",
        "`client_secret` without `tenantid`, `clientid` or `secret`",
        "set tenantid, clientid and secret, which client_secret is made of",
        lambda azure: not azure.credentials.is_whole,
    ),
)

_GCS_RULES: tuple[Rule, ...] = (
    _stops(
        "storage.gcs.bucket",
        "not set",
        "is required: the name of the bucket",
        lambda config: config.storage.gcs and not config.storage.gcs.bucket,
    ),
    _warns(
        "storage.gcs.credentials",
        "set beside `keyfile`",
        "is not used, since keyfile is set, too",
        lambda config: config.storage.gcs and config.storage.gcs.keyfile and config.storage.gcs.credentials,
    ),
)


def _wrong_also(config: Config) -> Iterator[str]:
    """Hold a second bucket against the rules for the first one."""
    also = config.storage.also
    buckets = {"s3": also.s3, "azure": also.azure, "gcs": also.gcs}
    other = config.model_copy(update={"storage": config.storage.model_copy(update=buckets)})
    for rule in (*_S3_RULES, *_AZURE_RULES, *_GCS_RULES):
        if rule.severity is Severity.STOPS:
            yield from (key.replace("storage.", "storage.also.") for key in rule.find(other))


RULES: tuple[Rule, ...] = (
    _driver("swift", "is not supported; use storage.filesystem, or storage.s3 through Swift's S3 interface later"),
    _driver("oss", "is not supported; use storage.filesystem, or storage.s3 through the S3 interface of OSS later"),
    _driver("inmemory", "is not offered, since several processes serve the registry; use filesystem on a tmpfs"),
    *_S3_RULES,
    *_AZURE_RULES,
    *_GCS_RULES,
    Rule(
        key="storage.also",
        severity=Severity.STOPS,
        when="it is not as `storage` has to be",
        message="is not right; give it what the same key needs in storage itself",
        find=_wrong_also,
    ),
    _stops(
        "storage",
        "there is no driver",
        "no storage configuration provided; name a driver, such as filesystem: {rootdirectory: /var/lib/registry}",
        lambda config: config.storage.type == "",
    ),
    _stops(
        "metadata",
        "absent, and the blobs lie in an object store",
        "the databases need a place: name a PostgreSQL database in metadata.url, or for a single machine a folder on a "
        "disk that stays in metadata.folder",
        _lacks_databases,
    ),
    _stops(
        "metadata.url",
        "no address of PostgreSQL",
        "must begin with postgresql://; use one such as postgresql://entrepot:PASSWORD@db.example/entrepot",
        _is_no_postgres,
    ),
    _stops(
        "metadata.urlfile",
        "set beside `url`",
        "is set as metadata.url is; remove one of them",
        lambda config: config.metadata.urlfile and config.metadata.url.get_secret_value(),
    ),
    _stops(
        "metadata.directurlfile",
        "set beside `directurl`",
        "is set as metadata.directurl is; remove one of them",
        lambda config: config.metadata.directurlfile and config.metadata.directurl.get_secret_value(),
    ),
    _stops(
        "metadata.folder",
        "set, and there is PostgreSQL or a folder of blobs",
        "is for SQLite beside an object store; remove it: the databases lie in PostgreSQL here, or beside the blobs",
        lambda config: config.metadata.folder and (config.on_server or config.has_folder),
    ),
    _stops(
        "database.host",
        "empty, and `enabled`",
        "is required, or nobody knows where the database is",
        lambda config: config.database.on_server and not config.database.host,
    ),
    _stops(
        "database",
        "`enabled`, and `metadata` names a PostgreSQL database",
        "says where the database is, and so does metadata; remove one of them",
        lambda config: config.database.on_server and config.metadata.on_server,
    ),
    _stops(
        "http.tls.letsencrypt",
        "certificates are to be got, and there is no folder to keep them in",
        "has no folder for account and certificate; let a proxy in front have the certificate, or name one by "
        "http.tls.certificate",
        lambda config: config.http.tls.is_automatic and config.storage.type and not config.has_state,
    ),
    _stops(
        "auth.token.rootcertbundle",
        "neither it nor `jwks` is set",
        "without it, or jwks, no token can be verified; give a PEM file of the issuer's certificates",
        lambda config: config.auth.token and not (config.auth.token.rootcertbundle or config.auth.token.jwks),
    ),
    _stops(
        "auth.token.realm",
        "not set, and `autoredirect` is off",
        "is required, or clients do not learn where to get a token",
        lambda config: config.auth.token and not (config.auth.token.realm or config.auth.token.autoredirect),
    ),
    _stops(
        "access.ldap",
        "`servers` are named, and `auth` is not `accounts`",
        "counts only with auth: accounts, which lets in people by name; as it is, nobody would ask the directory",
        lambda config: config.access.ldap.enabled and not config.has_accounts,
    ),
    _stops(
        "access.oidc",
        "it or `access.oauth` is set, and `auth` is not `accounts`",
        "counts only with auth: accounts, which lets in people by name; as it is, nobody would ask the providers",
        lambda config: config.access.has_providers and not config.has_accounts,
    ),
    _stops(
        "proxy.remoteurl",
        "set",
        f"the pull-through cache {_TO_COME}; without it this would be a registry that knows none of the images",
        lambda config: config.proxy.remoteurl,
    ),
    Rule(
        key="notifications.endpoints",
        severity=Severity.STOPS,
        when="one is not `disabled`",
        message=f"sending events {_TO_COME}, and they would be lost; set 'disabled: true' to do without",
        find=_active_endpoints,
    ),
    Rule(
        key="middleware",
        severity=Severity.STOPS,
        when="an entry is not `disabled`, and none of the storage's that are known",
        message="middleware can change who gets what from where, and this one is not known here; set 'disabled: true' "
        "to do without",
        find=_unknown_middleware,
    ),
    Rule(
        key="middleware.storage",
        severity=Severity.WARNS,
        when="`cloudfront` is set, and `storage` is a folder",
        message="stands in front of S3, and storage.filesystem is none: it has no effect, as in registry:2",
        find=_storage_middleware(lambda config, options: isinstance(options, CloudFront) and config.storage.filesystem),
    ),
    Rule(
        key="middleware.storage",
        severity=Severity.WARNS,
        when="a signature is made with MD5",
        message="signs with MD5, which nothing better replaces at this vendor; who breaks it reads blobs whose digests "
        "they know, so keep URLs short-lived",
        find=_storage_middleware(_is_md5),
    ),
    Rule(
        key="middleware.storage",
        severity=Severity.WARNS,
        when="its host is that of `http.host`",
        message="has the host of the registry itself, so clients send it their credentials, too; give it its own name",
        find=_storage_middleware(_has_our_host),
    ),
    Rule(
        key="middleware.storage",
        severity=Severity.WARNS,
        when="`rewrite` changes the host or the path of an object store's URLs",
        message="changes what S3 has signed (host, path), and S3 then refuses the URL, unless a proxy there signs anew",
        find=_storage_middleware(
            lambda config, options: (
                isinstance(options, Rewrite)
                and (options.host or options.trimpathprefix)
                and not config.storage.filesystem
            )
        ),
    ),
    _warns(
        "middleware.storage",
        "not empty, and `storage.redirect.disable` is set",
        "has no effect, since storage.redirect.disable keeps all bytes here",
        lambda config: (
            config.storage.redirect.disable and any(not entry.disabled for entry in config.middleware.storage)
        ),
    ),
    _warns(
        "policy.repository.classes",
        "a class is neither `image` nor `plugin`",
        "has a class that nothing belongs to; those that exist are image and plugin",
        lambda config: set(config.policy.repository.classes) - {"image", "plugin"},
    ),
    _stops(
        "http.tls.letsencrypt.hosts",
        "empty, as `http.host` is, and certificates are to be got",
        "is empty, so no certificate can be got; give the names by which clients reach the registry",
        lambda config: config.http.tls.is_automatic and not config.http.certified_hosts,
    ),
    _warns(
        "http.tls.letsencrypt.cachefile",
        "set, and `certificate` is not",
        "is not written to: account and certificate lie in entrepot/acme of the data folder",
        lambda config: config.http.tls.is_automatic and config.http.tls.letsencrypt.cachefile,
    ),
    _stops(
        "http.tls.clientauth",
        "`require-any-client-cert` or `verify-client-cert-if-given`",
        "the server can only require certificates that it verifies; use require-and-verify-client-cert",
        lambda config: config.http.tls.clientauth in {"require-any-client-cert", "verify-client-cert-if-given"},
    ),
    _stops(
        "http.tls.clientcas",
        "empty, and `clientauth` is `require-and-verify-client-cert`",
        "is empty, so no certificate of a client could be verified; name the authorities' PEM files",
        lambda config: config.http.tls.clientauth == "require-and-verify-client-cert" and not config.http.tls.clientcas,
    ),
    _warns(
        "http.tls.clientauth",
        "`request-client-cert`",
        "request-client-cert checks nothing, so clients are not asked for certificates",
        lambda config: config.http.tls.clientauth == "request-client-cert",
    ),
    _warns(
        "http.tls.minimumtls",
        "`tls1.0` or `tls1.1`",
        "versions below tls1.2 are insecure and not offered; tls1.2 is the lowest now",
        lambda config: config.http.tls.minimumtls in {"tls1.0", "tls1.1"},
    ),
    _warns(
        "http.tls.ciphersuites",
        "not empty",
        "the server cannot restrict cipher suites: it offers its own list of secure ones; a TLS proxy can do more",
        lambda config: config.http.tls.ciphersuites,
    ),
    _warns(
        "http.h2c",
        "enabled",
        "HTTP/2 in clear is not supported; clients get HTTP/1.1",
        lambda config: config.http.h2c.enabled,
    ),
    _warns(
        "http.tls",
        "off, `addr` is reachable from elsewhere, and there are passwords",
        "is not set, so passwords cross the network in clear unless a proxy in front encrypts",
        _clear_passwords,
    ),
    _warns(
        "auth",
        "absent from a file, or `none`",
        "there is none, so everybody who reaches this registry may pull, push and, if enabled, delete",
        lambda config: config.open_registry,
    ),
    _warns(
        "auth.silly",
        "chosen",
        "lets in everybody who sends any Authorization header; use auth.htpasswd to check names and passwords",
        lambda config: config.auth.silly is not None,
    ),
    _warns(
        "storage.cache.blobdescriptor",
        "`redis` or unknown",
        "is not needed and ignored: blob descriptors are in the database",
        lambda config: config.storage.cache.kind not in {"", "inmemory"},
    ),
    _warns(
        "storage.cache.disk",
        "`rootdirectory` is set, and `storage` is a folder",
        "has no effect: blobs in a folder are at hand already",
        lambda config: config.storage.cache.disk.rootdirectory and config.storage.filesystem is not None,
    ),
    _warns(
        "storage.cache.disk.rootdirectory",
        "set, and all clients are sent to an object store for blobs",
        "keeps what passes through the registry, and that is little: clients are sent to the store; name those who are "
        "not in storage.redirect.except, or set storage.redirect.disable",
        _cache_without_use,
    ),
    _warns(
        "redis",
        "a server is named, and the database is SQLite, or nothing is limited",
        "is not needed and ignored: what it could hold is in the database; several nodes use it for access.limits",
        lambda config: config.redis.given and not config.shares_counts,
    ),
    Rule(
        key="log.hooks",
        severity=Severity.WARNS,
        when="one is not `disabled`",
        message="mails about log messages are not supported and ignored",
        find=_active_hooks,
    ),
    _warns("loglevel", "set", "is deprecated; use log.level", lambda config: config.loglevel is not None),
    _warns(
        "reporting",
        "Bugsnag or New Relic is set up",
        "is not supported and ignored",
        lambda config: config.reporting.given,
    ),
    _warns(
        "compatibility.schema1",
        "`enabled`",
        "is ignored: manifests of schema 1 are refused, since their signatures and layers cannot be checked",
        lambda config: config.compatibility.schema1.enabled,
    ),
    _warns(
        "http.draintimeout",
        "above 0s and below 1s",
        "is less than a second, so running requests are cut off when the registry stops",
        lambda config: 0 < config.http.draintimeout < 1,
    ),
)
