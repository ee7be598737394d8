"""A real Active Directory: Samba as a domain controller in a network of its own, reached over a pair of addresses.

    with samba(folder) as server:
        server.section()              # `access.ldap` of a configuration
        server.add_user("erin")

The domain is EXAMPLE (example.org). `alice`, `bob` and `carol` have the password of `password_of(name)`; the group
`devs` has alice and bob, `company` has the group devs, and `leads` has carol.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import ldap
import ldap.modlist
import pytest

from tests.support.certificates import authority, identity
from tests.support.tools import find_tool

BASE = "DC=example,DC=org"
PEOPLE = f"CN=Users,{BASE}"
ADMIN = "Administrator@example.org"
ADMIN_PASSWORD = "Adm1n-Passw0rd"
_NORMAL_ACCOUNT = 0x200
_DISABLED = 0x202
_CONF = """\
[global]
netbios name = DC1
realm = EXAMPLE.ORG
workgroup = EXAMPLE
server role = active directory domain controller
server services = ldap, kdc, rpc, cldap
bind interfaces only = yes
interfaces = lo {address}
log file = {folder}/log.%m
private dir = {folder}/private
state directory = {folder}/state
cache directory = {folder}/cache
lock directory = {folder}
pid directory = {folder}
ncalrpc dir = {folder}/ncalrpc
binddns dir = {folder}/bind-dns
tls certfile = {folder}/tls/cert.pem
tls keyfile = {folder}/tls/key.pem
tls cafile = {folder}/tls/ca.pem
[sysvol]
path = {folder}/state/sysvol
[netlogon]
path = {folder}/state/sysvol/example.org/scripts
"""
_numbers = count()


def password_of(name: str) -> str:
    """Return the password that a person begins with; complex enough for the domain."""
    return f"Passw0rd-of-{name}"


def user_dn(name: str) -> str:
    """Return the DN of a person."""
    return f"CN={name.title()} Example,{PEOPLE}"


def group_dn(name: str) -> str:
    """Return the DN of a group."""
    return f"CN={name},{PEOPLE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Samba:
    """A running domain controller."""

    folder: Path
    address: str

    def section(self, **more: Any) -> dict[str, Any]:
        """Give `access.ldap` for it, over LDAPS with the authority of the test."""
        base: dict[str, Any] = {
            "kind": "activedirectory",
            "servers": [f"ldaps://{self.address}"],
            "ca": str(self.folder / "tls" / "ca.pem"),
            "domain": "EXAMPLE",
            "binddn": ADMIN,
            "bindpassword": ADMIN_PASSWORD,
            "users": {"base": PEOPLE},
            "groups": {"base": PEOPLE},
        }
        for key, value in more.items():
            base[key] = {**base[key], **value} if isinstance(value, dict) and key in base else value
        return base

    def add_user(self, name: str) -> None:
        """Add a person."""
        attributes = {
            "objectClass": [b"user"],
            "sAMAccountName": [name.encode()],
            "userPrincipalName": [f"{name}@example.org".encode()],
            "displayName": [f"{name.title()} of the Domain".encode()],
            "mail": [f"{name}@example.org".encode()],
            "unicodePwd": [f'"{password_of(name)}"'.encode("utf-16-le")],
            "userAccountControl": [str(_NORMAL_ACCOUNT).encode()],
        }
        with self._connection() as connection:
            connection.add_s(user_dn(name), ldap.modlist.addModlist(attributes))

    def add_group(self, name: str, *members: str) -> None:
        """Add a group of these DNs."""
        attributes = {
            "objectClass": [b"group"],
            "sAMAccountName": [name.encode()],
            "member": [dn.encode() for dn in members],
        }
        with self._connection() as connection:
            connection.add_s(group_dn(name), ldap.modlist.addModlist(attributes))

    def disable(self, name: str, *, disabled: bool = True) -> None:
        """Disable an account, as the domain's administrators do, or enable it again."""
        flags = _DISABLED if disabled else _NORMAL_ACCOUNT
        self.replace(user_dn(name), "userAccountControl", str(flags))

    def make_primary(self, name: str, group: str) -> None:
        """Make a group somebody's primary one; the domain makes the one before an ordinary one."""
        with self._connection() as connection:
            [(_, found)] = connection.search_s(group_dn(group), ldap.SCOPE_BASE, attrlist=["objectSid"])
        number = int.from_bytes(found["objectSid"][0][-4:], "little")
        self.replace(user_dn(name), "primaryGroupID", str(number))

    def replace(self, dn: str, attribute: str, value: str) -> None:
        """Replace an attribute."""
        with self._connection() as connection:
            connection.modify_s(dn, [(ldap.MOD_REPLACE, attribute, [value.encode()])])

    def delete(self, dn: str) -> None:
        """Remove an entry."""
        with self._connection() as connection:
            connection.delete_s(dn)

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        connection = ldap.initialize(f"ldaps://{self.address}")
        connection.set_option(ldap.OPT_NETWORK_TIMEOUT, 10)
        connection.set_option(ldap.OPT_X_TLS_CACERTFILE, str(self.folder / "tls" / "ca.pem"))
        connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        try:
            connection.simple_bind_s(ADMIN, ADMIN_PASSWORD)
            yield connection
        finally:
            connection.unbind_s()


@contextmanager
def samba(folder: Path) -> Iterator[Samba]:
    """Provision a domain and run its controller."""
    if os.geteuid() != 0:
        pytest.fail("a domain controller needs root: run `make test` as root")
    folder.mkdir(parents=True)
    with _network() as (name, address):
        _provision(folder)
        (folder / "etc" / "smb.conf").write_text(_CONF.format(folder=folder, address=address), encoding="utf-8")
        _write_certificate(folder, address)
        command = ["nsenter", f"--net=/var/run/netns/{name}", "setpriv", "--pdeathsig", "TERM", find_tool("samba")]
        with (folder / "samba.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "-i", "--debug-stdout", "-s", folder / "etc" / "smb.conf"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        server = Samba(folder=folder, address=address)
        try:
            _wait(server, process)
            _fill(server)
            yield server
        finally:
            _end(process)


def _provision(folder: Path) -> None:
    made = subprocess.run(
        [
            *(find_tool("samba-tool"), "domain", "provision", "--realm=EXAMPLE.ORG", "--domain=EXAMPLE"),
            *(f"--adminpass={ADMIN_PASSWORD}", "--server-role=dc", "--dns-backend=NONE", f"--targetdir={folder}"),
            *("--host-name=dc1", "--host-ip=127.0.0.1", "--option=vfs objects="),
            *("--option=interfaces=lo", "--option=bind interfaces only=yes"),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout + made.stderr


def _write_certificate(folder: Path, address: str) -> None:
    tls = folder / "tls"
    tls.mkdir()
    signer = authority("domain authority")
    signer.write(tls / "ca.pem", tls / "ca.key")
    identity("dc1.example.org", signer, address).write(tls / "cert.pem", tls / "key.pem")
    (tls / "key.pem").chmod(0o600)


def _wait(server: Samba, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with server._connection():
                return
        except ldap.LDAPError:
            said = (server.folder / "samba.log").read_text(errors="replace")[-3000:]
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)


def _fill(server: Samba) -> None:
    for name in ("alice", "bob", "carol"):
        server.add_user(name)
    server.add_group("devs", user_dn("alice"), user_dn("bob"))
    server.add_group("company", group_dn("devs"))
    server.add_group("leads", user_dn("carol"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the controller and the processes that it started, which are one session."""
    for number in (15, 9):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return


@contextmanager
def _network() -> Iterator[tuple[str, str]]:
    """Make a namespace with a pair of addresses, one inside and one here; gives its name and the inner address."""
    number = next(_numbers)
    name, link = f"entrepot-ad-{os.getpid()}-{number}", f"ead{os.getpid() % 100_000}{number}"
    outer, inner = (f"10.87.{os.getpid() % 250}.{4 * (number % 60) + last}" for last in (1, 2))

    def ip(*words: str, inside: bool = False) -> None:
        subprocess.run(["ip", *(("-n", name) if inside else ()), *words], check=True)

    ip("netns", "add", name)
    try:
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("address", "add", f"{outer}/30", "dev", link)
        ip("link", "set", link, "up")
        ip("address", "add", f"{inner}/30", "dev", "eth0", inside=True)
        ip("link", "set", "eth0", "up", inside=True)
        ip("link", "set", "lo", "up", inside=True)
        yield name, inner
    finally:
        ip("netns", "delete", name)
