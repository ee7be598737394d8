"""A real OpenLDAP server with people and groups, on free ports of the loopback.

    with slapd(folder, people=1000) as server:
        server.section()              # `access.ldap` of a configuration
        server.modify(text)           # LDIF with changes, as the administrator

People are `user0001` … with the password `password of user0001`, and alice, bob, carol and dave. Groups: `devs` has
alice and bob, `leads` has carol, `company` has the groups devs and leads, and every tenth user.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.certificates import Identity, authority, identity
from tests.support.ports import free_port
from tests.support.tools import find_tool

BASE = "dc=example,dc=org"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
ADMIN = f"cn=admin,{BASE}"
ADMIN_PASSWORD = "password-of-the-directory"
READER = f"cn=reader,{BASE}"
READER_PASSWORD = "password-of-the-reader"
#: A common name that is a filter, if nobody escapes it.
BUILDER = "Bob (the) *Builder"

_CONF = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/cert.pem
TLSCertificateKeyFile {folder}/key.pem
pidfile {folder}/pid
argsfile {folder}/args
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload ppolicy
sizelimit size.soft=100 size.hard=100 size.prtotal={total}
idletimeout 0
database mdb
suffix "{base}"
rootdn "{admin}"
rootpw {password}
directory {folder}/db
maxsize 104857600
dbnosync
index objectClass,uid,member,memberUid,cn eq
overlay memberof
memberof-group-oc groupOfNames
memberof-refint TRUE
overlay ppolicy
access to attrs=userPassword by anonymous auth by self write by * none
access to * by dn="{reader}" read by self read by anonymous auth by * none
"""


def person(name: str, cn: str = "", mail: str = "", password: str = "") -> str:
    """Write a person as LDIF."""
    lines = [
        f"dn: uid={name},{PEOPLE}",
        "objectClass: inetOrgPerson",
        f"uid: {name}",
        f"cn:: {b64encode((cn or name).encode()).decode()}",
        "sn: Somebody",
        f"mail: {mail or f'{name}@example.org'}",
        f"userPassword: {_hashed(password or password_of(name))}",
    ]
    return "\n".join(lines) + "\n\n"


def group(name: str, *members: str) -> str:
    """Write a group of these DNs as LDIF."""
    lines = [
        f"dn: cn={name},{GROUPS}",
        "objectClass: groupOfNames",
        f"cn: {name}",
        *(f"member: {dn}" for dn in members),
    ]
    return "\n".join(lines) + "\n\n"


def user_dn(name: str) -> str:
    """Return the DN of a person."""
    return f"uid={name},{PEOPLE}"


def group_dn(name: str) -> str:
    """Return the DN of a group."""
    return f"cn={name},{GROUPS}"


def password_of(name: str) -> str:
    """Return the password that a person begins with."""
    return f"password of {name}"


@dataclass(kw_only=True)
class Slapd:
    """A running server."""

    folder: Path
    port: int
    tls_port: int
    signer: Identity
    prefix: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address without encryption."""
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        """The address with encryption from the start."""
        return f"ldaps://127.0.0.1:{self.tls_port}"

    @property
    def ca(self) -> str:
        """The file with the private authority."""
        return str(self.folder / "ca.pem")

    def section(self, **more: Any) -> dict[str, Any]:
        """Give `access.ldap` for this server, over StartTLS, with groups by search."""
        base: dict[str, Any] = {
            "servers": [self.url],
            "starttls": True,
            "ca": self.ca,
            "binddn": READER,
            "bindpassword": READER_PASSWORD,
            "users": {"base": PEOPLE},
            "groups": {"base": GROUPS},
        }
        for key, value in more.items():
            base[key] = {**base[key], **value} if isinstance(value, dict) and key in base else value
        return base

    def start(self) -> None:
        """Start it (again)."""
        assert self.process is None
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        command = [*self.prefix, "setpriv", "--pdeathsig", "TERM", find_tool("slapd"), "-d", "0"]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "-f", self.folder / "slapd.conf", "-h", urls],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + 20
        while self._client("ldapwhoami", check=False).returncode != 0:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "slapd does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(20)
        self.process = None

    def add(self, ldif: str) -> None:
        """Add entries."""
        self._client("ldapadd", given=ldif)

    def modify(self, ldif: str) -> None:
        """Change or delete entries."""
        self._client("ldapmodify", given=ldif)

    def delete(self, *dns: str) -> None:
        """Delete entries."""
        self._client("ldapdelete", *dns)

    def _client(
        self, program: str, *arguments: str, given: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        command = [*self.prefix, str(find_tool(program)), "-x", "-H", self.url, "-D", ADMIN, "-w", ADMIN_PASSWORD]
        done = subprocess.run([*command, *arguments], input=given, text=True, capture_output=True, check=False)
        assert done.returncode == 0 or not check, done.stderr
        return done


@contextmanager
def slapd(folder: Path, *, people: int = 0, total: str = "unlimited", prefix: tuple[str, ...] = ()) -> Iterator[Slapd]:
    """Run a server in a folder."""
    (folder / "db").mkdir(parents=True)
    signer = authority("directory authority")
    identity("localhost", signer).write(folder / "cert.pem", folder / "key.pem")
    signer.write(folder / "ca.pem", folder / "ca.key")
    text = _CONF.format(folder=folder, base=BASE, admin=ADMIN, password=ADMIN_PASSWORD, reader=READER, total=total)
    (folder / "slapd.conf").write_text(text, encoding="utf-8")
    (folder / "data.ldif").write_text(_data(people), encoding="utf-8")
    load = [find_tool("slapadd"), "-q", "-f", folder / "slapd.conf", "-l", folder / "data.ldif"]
    loaded = subprocess.run(load, check=False, capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
    server = Slapd(folder=folder, port=free_port(), tls_port=free_port(), signer=signer, prefix=prefix)
    server.start()
    try:
        # Through the server, so that the overlay writes memberOf.
        tenth = [user_dn(f"user{number:04}") for number in range(10, people + 1, 10)]
        server.add(group("devs", user_dn("alice"), user_dn("bob")) + group("leads", user_dn("carol")))
        server.add(group("company", group_dn("devs"), group_dn("leads"), *tenth))
        yield server
    finally:
        if server.process is not None:
            server.stop()


def _data(people: int) -> str:
    roots = [
        f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n",
        f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n",
        f"dn: {GROUPS}\nobjectClass: organizationalUnit\nou: groups\n\n",
        f"dn: {READER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\n",
        f"userPassword: {_hashed(READER_PASSWORD)}\n\n",
    ]
    named = [person("alice", "Alice A"), person("bob", BUILDER), person("carol"), person("dave", "Däve Ümlaut")]
    return "".join([*roots, *named, *(person(f"user{number:04}") for number in range(1, people + 1))])


def _hashed(password: str) -> str:
    salt = os.urandom(4)
    return "{SSHA}" + b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()
