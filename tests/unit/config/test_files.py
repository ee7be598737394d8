"""`check`: the files and folders that a configuration names."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bcrypt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from entrepot.adapters.identity.foreign_tokens import ALGORITHMS
from entrepot.config import Report, check
from entrepot.config.schema.auth import SIGNING_ALGORITHMS
from tests.support.open_folders import let_others_in

Check = Callable[[str], Report]


@pytest.fixture
def check_text(tmp_path: Path) -> Check:
    """Give a function that checks a configuration whose data is in a temporary folder."""

    def check_text(extra: str) -> Report:
        path = tmp_path / "config.yml"
        storage = "" if "storage:" in extra else f"storage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n"
        http = "" if "http:" in extra else "http: {addr: 'localhost:5000'}\n"
        path.write_text(f"version: 0.1\n{storage}{http}{extra}\n")
        return check(path, {})

    return check_text


def make_pair(folder: Path, name: str, *, days: int = 90, starts: int = 0, password: bytes = b"") -> tuple[Path, Path]:
    """Write a self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC) + timedelta(days=starts)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=365))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection),
    )
    paths[1].chmod(0o600)
    return paths


def tls(certificate: object, key: object, more: str = "") -> str:
    return f"http: {{addr: 'localhost:5000', tls: {{certificate: {certificate}, key: {key}{more}}}}}"


def only(report: Report) -> str:
    """The one problem of a report."""
    assert len(report.problems) == 1, report.problems
    assert report.ok is False
    return report.problems[0]


def test_a_good_pair_passes(check_text: Check, tmp_path: Path) -> None:
    """A matching, valid pair whose key only its owner can read is not worth a word."""
    certificate, key = make_pair(tmp_path, "good")
    report = check_text(tls(certificate, key))
    assert report.ok is True
    assert not [warning for warning in report.warnings if "tls" in warning]


def test_a_pair_that_does_not_match_is_told(check_text: Check, tmp_path: Path) -> None:
    """A key of another certificate would kill the server at its start."""
    certificate, _ = make_pair(tmp_path, "one")
    _, key = make_pair(tmp_path, "two")
    assert "does not belong to the certificate" in only(check_text(tls(certificate, key)))


@pytest.mark.parametrize("given", ["certificate", "key"])
def test_half_a_pair_is_told(check_text: Check, given: str) -> None:
    """One without the other is a mistake, and must not mean no encryption."""
    absent = {"certificate": "key", "key": "certificate"}[given]
    problem = only(check_text(f"http: {{addr: 'localhost:5000', tls: {{{given}: /x}}}}"))
    assert problem == f"http.tls.{absent}: is required, since http.tls.{given} is set"


def test_a_missing_file_is_told(check_text: Check, tmp_path: Path) -> None:
    """With its key, its path and the reason."""
    _, key = make_pair(tmp_path, "pair")
    assert only(check_text(tls("/no/such.crt", key))) == (
        "http.tls.certificate: cannot read /no/such.crt: No such file or directory"
    )


@pytest.mark.parametrize("spoil", ["certificate", "key"])
def test_a_file_that_is_no_pem_is_told(check_text: Check, tmp_path: Path, spoil: str) -> None:
    """Rubbish in either file."""
    paths = dict(zip(("certificate", "key"), make_pair(tmp_path, "pair"), strict=True))
    paths[spoil].write_text("not PEM")
    assert "both must be PEM" in only(check_text(tls(paths["certificate"], paths["key"])))


def test_a_key_with_a_password_is_told(check_text: Check, tmp_path: Path) -> None:
    """The server has nobody to ask; neither may the check wait for an answer."""
    assert "the key without a password" in only(check_text(tls(*make_pair(tmp_path, "pair", password=b"secret"))))


@pytest.mark.parametrize(
    ("days", "starts", "warning"),
    [(-1, 0, "expired on"), (3, 0, "expires on"), (90, 366, "is not valid before")],
)
def test_dates_of_a_certificate_are_told(
    check_text: Check, tmp_path: Path, days: int, starts: int, warning: str
) -> None:
    """Clients would refuse it, or soon will; the registry itself can start."""
    report = check_text(tls(*make_pair(tmp_path, "pair", days=days, starts=starts)))
    assert report.ok is True
    assert any(warning in said for said in report.warnings)


def test_a_key_for_all_to_read_is_told(check_text: Check, tmp_path: Path) -> None:
    """With the command that mends it."""
    certificate, key = make_pair(tmp_path, "pair")
    key.chmod(0o644)
    assert any(f"chmod 600 {key}" in warning for warning in check_text(tls(certificate, key)).warnings)


def test_client_authorities_are_looked_at(check_text: Check, tmp_path: Path) -> None:
    """Each file must hold certificates."""
    certificate, key = make_pair(tmp_path, "pair")
    authority, _ = make_pair(tmp_path, "ca")
    assert check_text(tls(certificate, key, f", clientcas: [{authority}]")).ok is True
    problem = only(check_text(tls(certificate, key, f", clientcas: [{authority}, {key}]")))
    assert problem.startswith("http.tls.clientcas[1]: ")


def test_the_authority_of_a_certificate_service_is_looked_at(check_text: Check, tmp_path: Path) -> None:
    """Without it every order fails, which nobody would see before the start."""
    wanted = "http: {{tls: {{letsencrypt: {{hosts: [registry.test], ca: {}}}}}}}"
    authority, key = make_pair(tmp_path, "ca")
    assert check_text(wanted.format(authority)).ok is True
    assert only(check_text(wanted.format(key))).startswith("http.tls.letsencrypt.ca: ")


def htpasswd(path: Path) -> str:
    return f"auth: {{htpasswd: {{realm: r, path: {path}}}}}"


def test_a_good_htpasswd_file_passes(check_text: Check, tmp_path: Path) -> None:
    """Names with bcrypt passwords, comments and empty lines."""
    path = tmp_path / "htpasswd"
    path.write_text(f"# people\n\nanna:{bcrypt.hashpw(b'x', bcrypt.gensalt(4)).decode()}\n")
    report = check_text(htpasswd(path))
    assert (report.problems, report.warnings) == ([], [])


def test_entries_that_do_not_count_are_told(check_text: Check, tmp_path: Path) -> None:
    """By line and without the hash; and so is a file that lets nobody in."""
    path = tmp_path / "htpasswd"
    path.write_text("anna:$apr1$abc$def\nbertha\n")
    report = check_text(htpasswd(path))
    assert report.ok is True
    assert [warning.partition(" line ")[2][:1] for warning in report.warnings] == ["1", "2", ""]
    assert "lets nobody in" in report.warnings[2]
    assert "apr1" not in " ".join(report.warnings)


def test_a_missing_htpasswd_file_is_made_if_it_can_be(check_text: Check, tmp_path: Path) -> None:
    """As registry:2 does; where the folder is not there, it is a problem."""
    report = check_text(htpasswd(tmp_path / "htpasswd"))
    assert report.ok is True
    assert "does not exist; a start makes it" in report.warnings[0]
    assert "cannot be made" in only(check_text(htpasswd(tmp_path / "no" / "htpasswd")))


def token(more: str) -> str:
    return f"auth: {{token: {{realm: 'https://t', service: s, issuer: i, {more}}}}}"


def test_the_issuers_keys_are_looked_at(check_text: Check, tmp_path: Path) -> None:
    """Certificates, a bare public key, or a key set; without keys no token could be verified."""
    certificate, key = make_pair(tmp_path, "issuer")
    public = tmp_path / "public.pem"
    public.write_bytes(
        x509.load_pem_x509_certificate(certificate.read_bytes())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    keys, empty = tmp_path / "keys.json", tmp_path / "empty.json"
    keys.write_text('{"keys": [{"kty": "EC"}]}')
    empty.write_text('{"keys": []}')
    for more in (f"rootcertbundle: {certificate}", f"rootcertbundle: {public}", f"jwks: {keys}"):
        assert check_text(token(more)).problems == []
    assert "holds no PEM certificate" in only(check_text(token(f"rootcertbundle: {key}")))
    assert "holds no JSON Web Key Set" in only(check_text(token(f"jwks: {empty}")))
    assert "holds no JSON Web Key Set" in only(check_text(token(f"jwks: {key}")))
    assert "cannot read /no/such" in only(check_text(token("rootcertbundle: /no/such")))


@pytest.mark.parametrize("algorithm", ["HS256", "none", "RS1"])
def test_an_algorithm_that_serve_would_refuse_is_told(check_text: Check, tmp_path: Path, algorithm: str) -> None:
    """Whoever can check a token of `HS256` can make one: serve does not start with it, and so check says so."""
    certificate, _ = make_pair(tmp_path, "issuer")
    problem = only(check_text(token(f"rootcertbundle: {certificate}, signingalgorithms: [ES256, {algorithm}]")))
    assert "auth.token.signingalgorithms" in problem
    assert f"{algorithm} cannot be used; choose from RS256" in problem
    assert SIGNING_ALGORITHMS == ALGORITHMS
    for each in ALGORITHMS:
        assert check_text(token(f"rootcertbundle: {certificate}, signingalgorithms: [{each}]")).problems == []


def storage(folder: Path) -> str:
    return f"storage: {{filesystem: {{rootdirectory: {folder}}}}}"


def test_a_folder_that_can_be_made_passes_and_is_not_made(check_text: Check, tmp_path: Path) -> None:
    """A check changes nothing."""
    assert check_text(storage(tmp_path / "a" / "b")).ok is True
    assert not (tmp_path / "a").exists()


def test_a_file_in_place_of_the_folder_is_told(check_text: Check, tmp_path: Path) -> None:
    """The path is taken."""
    (tmp_path / "data").write_text("")
    assert only(check_text(storage(tmp_path / "data"))).endswith("is not a folder")


NOBODY = 65534


@pytest.fixture
def check_as_nobody(tmp_path: Path) -> Iterator[Callable[[Path], list[str]]]:
    """Give a function that checks a file as an ordinary user, since root may everything, and gives the problems."""
    user = os.geteuid()
    let_others_in(tmp_path)

    def check_as_nobody(path: Path) -> list[str]:
        if user == 0:
            os.setresuid(NOBODY, NOBODY, 0)
        return check(path, {}).problems

    yield check_as_nobody
    if user == 0:
        os.setresuid(0, 0, 0)


def test_rights_on_the_folder_are_looked_at(tmp_path: Path, check_as_nobody: Callable[[Path], list[str]]) -> None:
    """Who may not write is told the chown, and the --user of a container."""
    data = tmp_path / "data"
    data.mkdir(mode=0o555)
    path = tmp_path / "config.yml"
    path.write_text(f"version: 0.1\n{storage(data)}\nhttp: {{addr: 'localhost:1'}}\n")
    owner = data.stat()
    problems = check_as_nobody(path)
    assert len(problems) == 1
    assert problems[0].startswith(
        f"storage.filesystem.rootdirectory: no right to read and write in {data}; run chown -R "
    )
    assert f"--user {owner.st_uid}:{owner.st_gid}" in problems[0]


def test_rights_on_a_tree_of_registry2_are_looked_at(
    tmp_path: Path, check_as_nobody: Callable[[Path], list[str]]
) -> None:
    """The folder itself may be open and what registry:2 left in it not."""
    data = tmp_path / "data"
    tree = data / "docker" / "registry" / "v2" / "blobs"
    tree.mkdir(parents=True)
    for folder in (data, data / "docker", data / "docker" / "registry", tree.parent):
        folder.chmod(0o777)
    tree.chmod(0o555)
    path = tmp_path / "config.yml"
    path.write_text(f"version: 0.1\n{storage(data)}\nhttp: {{addr: 'localhost:1'}}\n")
    assert check_as_nobody(path)[0].startswith(
        f"storage.filesystem.rootdirectory: no right to read and write in {tree};"
    )


def test_the_folder_of_a_socket_is_looked_at(check_text: Check, tmp_path: Path) -> None:
    """It must be there."""
    assert check_text(f"http: {{net: unix, addr: {tmp_path}/r.sock}}").ok is True
    problem = only(check_text("http: {net: unix, addr: /no/such/r.sock}"))
    assert problem == "http.addr: the folder of the socket /no/such/r.sock does not exist"


def test_a_configuration_that_cannot_be_loaded_is_a_report_too(check_text: Check) -> None:
    """Whoever checks handles no exception."""
    report = check_text("log: {level: loud}\nlogg: {}")
    assert report.loaded is None
    assert "log.level" in only(report)
    assert report.warnings == ["logg: unknown key, ignored; did you mean 'log'?"]


def test_rights_on_the_folder_of_a_socket_are_looked_at(
    tmp_path: Path, check_as_nobody: Callable[[Path], list[str]]
) -> None:
    """Who may not make the socket is told before the start."""
    path, data, sockets = tmp_path / "config.yml", tmp_path / "data", tmp_path / "sockets"
    data.mkdir()
    data.chmod(0o777)
    sockets.mkdir(mode=0o555)
    path.write_text(f"version: 0.1\n{storage(data)}\nhttp: {{net: unix, addr: {sockets}/r.sock}}\n")
    assert check_as_nobody(path)[0].startswith(f"http.addr: no right to make the socket {sockets}/r.sock; run chown")
