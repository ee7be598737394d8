"""What CDNs check of a signed URL, written from the vendors' own descriptions and not from our signers.

Each checker gets the URL as a client sends it, the two keys that vendors let one set, and the time; and says whether
the CDN would let it through. `span` is what is set at the vendor, where the URL holds only when it was made.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1

Checker = Callable[[str, Sequence[str], float, float], bool]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _one(url: str, name: str) -> str:
    return parse_qs(urlsplit(url).query, strict_parsing=True)[name][0]


def _authority_a(parameter: str) -> Checker:
    """Type A of both: `time-rand-uid-md5`, the hash of `uri-time-rand-uid-key`; good until time and span are over."""

    def check(url: str, keys: Sequence[str], now: float, span: float) -> bool:
        begins, random, user, digest = _one(url, parameter).split("-")
        path = urlsplit(url).path
        right = [_md5(f"{path}-{begins}-{random}-{user}-{key}") for key in keys]
        return digest in right and user == "0" and int(begins) + span >= now

    return check


def _authority_b(url: str, keys: Sequence[str], now: float, span: float) -> bool:
    """Type B of both: `/YYYYMMDDHHMM/md5/path`, the hash of key, time and path; the time is China's."""
    _, minute, digest, rest = urlsplit(url).path.split("/", 3)
    begins = datetime.strptime(minute, "%Y%m%d%H%M").replace(tzinfo=timezone(timedelta(hours=8))).timestamp()
    return digest in [_md5(f"{key}{minute}/{rest}") for key in keys] and begins + span >= now


def _authority_c(url: str, keys: Sequence[str], now: float, span: float) -> bool:
    """Type C of both: `/md5/hex time/path`, the hash of key, path and time."""
    _, digest, begins, rest = urlsplit(url).path.split("/", 3)
    return digest in [_md5(f"{key}/{rest}{begins}") for key in keys] and int(begins, 16) + span >= now


def _tencent_d(url: str, keys: Sequence[str], now: float, span: float) -> bool:
    """Type D: `?sign=md5&t=time`, the hash of key, path and time."""
    begins, path = _one(url, "t"), urlsplit(url).path
    return _one(url, "sign") in [_md5(f"{key}{path}{begins}") for key in keys] and int(begins) + span >= now


def _cloudflare(url: str, keys: Sequence[str], now: float, span: float) -> bool:
    """`is_timed_hmac_valid_v0(key, http.request.uri, ttl, now, 8)`: message, separator, time, `-`, encoded MAC."""
    parts = urlsplit(url)
    message_mac = f"{parts.path}?{parts.query}"
    head, _, mac = message_mac.rpartition("-")
    message, begins = head[:-10][: -len("?verify=")], head[-10:]
    expected = [hmac.digest(key.encode(), f"{message}{begins}".encode(), "sha256") for key in keys]
    return base64.b64decode(unquote(mac)) in expected and int(begins) + span >= now


def _akamai(url: str, keys: Sequence[str], now: float, span: float) -> bool:
    """EdgeAuth 2.0: fields with `~` between, the HMAC over them and `url=path`, in place of the last."""
    del span
    fields, _, mac = _one(url, "__token__").rpartition("~hmac=")
    message = f"{fields}~url={urlsplit(url).path}".encode()
    expires = dict(field.split("=", 1) for field in fields.split("~"))["exp"]
    return mac in [hmac.new(bytes.fromhex(key), message, "sha256").hexdigest() for key in keys] and int(expires) > now


def _google(url: str, keys: Sequence[str], now: float, span: float) -> bool:
    """Cloud CDN: the HMAC-SHA1 of all before `&Signature=`, and the name says which key."""
    del span
    signed, _, signature = url.partition("&Signature=")
    key = base64.urlsafe_b64decode(keys[int(_one(url, "KeyName").removeprefix("key-"))])
    expected = base64.urlsafe_b64encode(hmac.digest(key, signed.encode(), "sha1")).decode()
    return signature == expected and int(_one(url, "Expires")) >= now


def _fastly(url: str, keys: Sequence[str], now: float, span: float) -> bool:
    """The guide's VCL: `token=expiration_hmac`, over path and expiration."""
    del span
    expires, _, mac = _one(url, "token").partition("_")
    message = (urlsplit(url).path + expires).encode()
    return mac in [hmac.new(key.encode(), message, "sha256").hexdigest() for key in keys] and int(expires) > now


def _secure_link(url: str, keys: Sequence[str], now: float, span: float) -> bool:
    """nginx: `secure_link $arg_md5,$arg_expires; secure_link_md5 "$secure_link_expires$uri key";`."""
    del span
    expires, path = _one(url, "expires"), unquote(urlsplit(url).path)
    raw = base64.urlsafe_b64decode(_one(url, "md5") + "==")
    return raw in [hashlib.md5(f"{expires}{path} {key}".encode()).digest() for key in keys] and int(expires) > now


def cloudfront(url: str, keys: dict[str, RSAPublicKey], now: float) -> bool:
    """CloudFront: the canned policy made again from URL and time, and its signature by the pair that is named."""
    resource, _, _ = url.partition("?")
    expires = int(_one(url, "Expires"))
    raw = base64.b64decode(_one(url, "Signature").replace("-", "+").replace("_", "=").replace("~", "/"))
    condition = {"DateLessThan": {"AWS:EpochTime": expires}}
    policy = json.dumps({"Statement": [{"Resource": resource, "Condition": condition}]}, separators=(",", ":"))
    try:
        keys[_one(url, "Key-Pair-Id")].verify(raw, policy.encode(), PKCS1v15(), SHA1())
    except (InvalidSignature, KeyError):
        return False
    return now < expires


#: By the middleware's name, and the type where it has some.
CHECKERS: dict[str, Checker] = {
    "akamai": _akamai,
    "alibabacdn A": _authority_a("auth_key"),
    "alibabacdn B": _authority_b,
    "alibabacdn C": _authority_c,
    "cloudflare": _cloudflare,
    "fastly": _fastly,
    "googlecdn": _google,
    "securelink": _secure_link,
    "signedurl": _fastly,
    "tencentcdn A": _authority_a("sign"),
    "tencentcdn B": _authority_b,
    "tencentcdn C": _authority_c,
    "tencentcdn D": _tencent_d,
}
