"""The container image, built as a person builds it, loaded from its archive, and run where registry:2's runs today."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.certificates import authority, identity
from tests.support.container_storage import folder_of_sockets
from tests.support.containers import ContainerHost, container_host

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "localhost/entrepot:test"
USER = 10001
PASSWORD = re.compile(r"first password of the account 'admin' is (\S+)")
#: What a careful person gives to `run`: nothing but a data folder can be written, no capability is left.
CAREFUL = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges")
CONFIG = """\
version: 0.1
log: {level: info}
storage:
  filesystem: {rootdirectory: /var/lib/registry}
http: {addr: ":5000"}
auth:
  htpasswd: {realm: our registry, path: /auth/htpasswd}
"""

Tool = Callable[[str], Path]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Name the file that the image is handed on in."""
    return tmp_path_factory.mktemp("archive") / "image.tar.gz"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Iterator[ContainerHost]:
    """Give a host with the image on it, as its archive has it."""
    with container_host(tmp_path_factory.mktemp("host")) as made:
        build(made, archive)
        made.run("podman", "rmi", IMAGE)
        made.run("podman", "load", "--quiet", "--input", archive)
        yield made


def build(host: ContainerHost, archive: Path, *, umask: int = 0o022) -> None:
    """Build the image and its archive."""
    # The build script downloads packages, so it runs beside the namespace, which has no way out.
    built = subprocess.run(
        [ROOT / "deploy" / "build.sh", IMAGE],
        env=host.environment | {"ARCHIVE": str(archive)},
        text=True,
        check=False,
        umask=umask,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert built.returncode == 0, built.stdout


@pytest.fixture(autouse=True)
def no_containers_left(host: ContainerHost) -> Iterator[None]:
    """End what a test started."""
    yield
    host.run("podman", "rm", "--all", "--force", "--time", "5", "--volumes")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory, host: ContainerHost, tool: Tool) -> Path:
    """Give a small image in an OCI layout."""
    folder = tmp_path_factory.mktemp("picture")
    (folder / "Containerfile").write_text("FROM scratch\nCOPY hello /\n", encoding="utf-8")
    (folder / "hello").write_bytes(b"hello " * 10_000)
    host.run(tool("buildah"), "bud", "--quiet", "--tag", "localhost/hello", folder)
    host.run("buildah", "push", "localhost/hello", f"oci:{folder / 'layout'}:latest")
    return folder / "layout"


def start(host: ContainerHost, *options: str | Path, command: tuple[str, ...] = ()) -> None:
    """Start the image under the name `registry`."""
    host.run("podman", "run", "--detach", "--name", "registry", "--network", "host", *options, IMAGE, *command)


def logs(host: ContainerHost) -> str:
    """Read all that the container has said."""
    return host.run("podman", "logs", "registry").stdout


def push(host: ContainerHost, picture: Path, target: str, *options: str) -> None:
    """Push the image in the layout."""
    host.run(
        "skopeo",
        "copy",
        "--dest-tls-verify=false",
        *options,
        f"oci:{picture}:latest",
        f"docker://127.0.0.1:5000/{target}",
    )


def digest_of(host: ContainerHost, source: str, *options: str) -> str:
    """Ask for the digest of an image."""
    return host.run("skopeo", "inspect", "--format", "{{.Digest}}", *options, source).stdout.strip()


def test_the_archive_comes_with_a_list_of_what_is_in_it(host: ContainerHost, archive: Path) -> None:
    """It names each Debian package that dpkg knows in the image, and each Python package at its pinned version."""
    listed = json.loads(archive.with_name("image.cdx.json").read_text(encoding="utf-8"))
    assert (listed["bomFormat"], listed["specVersion"]) == ("CycloneDX", "1.6")
    named = {(one["purl"].partition("/")[0], one["name"], one["version"]) for one in listed["components"]}
    inside = ("podman", "run", "--rm", "--network", "none", "--entrypoint")
    debian = host.run(*inside, "dpkg-query", IMAGE, "--show", "--showformat", "${Package} ${Version}\n").stdout
    assert {one[1:] for one in named if one[0] == "pkg:deb"} == {tuple(line.split()) for line in debian.splitlines()}
    folder = host.run(*inside, "ls", IMAGE, "/usr/lib/entrepot").stdout
    python = re.findall(r"^(\S+)-(\S+)\.dist-info$", folder, re.MULTILINE)
    pins = re.findall(
        r"^(\S+)==(\S+)", (ROOT / "requirements" / "constraints-image.txt").read_text("utf-8"), re.MULTILINE
    )
    assert len(python) > 40
    for name, version in python:
        known = re.sub(r"[-_.]+", "-", name.lower())
        assert ("pkg:pypi", known, version) in named
        assert known == "entrepot" or (known, version) in pins


def test_it_has_the_clients_of_every_database_and_store(host: ContainerHost) -> None:
    """What the chart and the compose files may name can be imported: nobody installs into a container."""
    clients = "asyncpg, aiobotocore, obstore, azure.storage.blob, azure.identity, google.auth, redis"
    host.run("podman", "run", "--rm", "--network", "none", "--entrypoint", "python3", IMAGE, "-c", f"import {clients}")


@pytest.mark.full
def test_an_archive_built_again_has_the_same_bytes(host: ContainerHost, archive: Path, tmp_path: Path) -> None:
    """At another time and under another umask, the archive and the list of what is in it are the same."""
    build(host, tmp_path / archive.name, umask=0o077)
    for name in ("image.tar.gz", "image.cdx.json"):
        assert (tmp_path / name).read_bytes() == archive.with_name(name).read_bytes(), name


def test_a_first_start_asks_for_a_login_and_prints_the_password_once(host: ContainerHost, picture: Path) -> None:
    """Without a file everything is private; the generated password is logged at the first start only."""
    start(host, "--volume", "first:/var/lib/registry", *CAREFUL)
    host.await_status("/v2/", 401)
    found = PASSWORD.findall(logs(host))
    assert len(found) == 1
    login = ("--dest-creds", f"admin:{found[0]}")
    push(host, picture, "team/hello:1", *login)
    pulled = digest_of(
        host, "docker://127.0.0.1:5000/team/hello:1", "--tls-verify=false", "--creds", f"admin:{found[0]}"
    )
    assert pulled == digest_of(host, f"oci:{picture}:latest")

    host.run("podman", "restart", "--time", "30", "registry")
    host.await_status("/v2/", 200, "--user", f"admin:{found[0]}")
    assert PASSWORD.findall(logs(host)) == found


def test_it_runs_as_nobody_in_particular(host: ContainerHost) -> None:
    """No process of the container is root's, and what it writes belongs to the same user."""
    start(host, "--volume", "owner:/var/lib/registry", *CAREFUL)
    host.await_status("/v2/", 401)
    users = host.run("podman", "top", "registry", "huser").stdout.split()[1:]
    assert users
    assert set(users) == {str(USER)}
    owners = host.run("podman", "exec", "registry", "find", "/var/lib/registry", "-printf", "%U\\n").stdout.split()
    assert set(owners) == {str(USER)}


def test_a_stop_is_clean(host: ContainerHost) -> None:
    """`stop` ends all processes by themselves, before anybody has to kill them."""
    start(host, "--volume", "stop:/var/lib/registry", *CAREFUL)
    host.await_status("/v2/", 401)
    host.run("podman", "stop", "--time", "20", "registry")
    state = json.loads(host.run("podman", "inspect", "registry").stdout)[0]["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)


def test_registry2s_default_file_is_there_for_who_wants_it(host: ContainerHost, picture: Path) -> None:
    """Asked for registry:2's own default configuration, it is as open as registry:2 is without a file, and says so."""
    start(host, "--volume", "open:/var/lib/registry", command=("/etc/entrepot/registry2-default.yml",))
    host.await_status("/v2/", 200)
    push(host, picture, "hello:1")
    assert digest_of(host, "docker://127.0.0.1:5000/hello:1", "--tls-verify=false") == digest_of(
        host, f"oci:{picture}:latest"
    )
    assert "auth" in logs(host)


def test_health_checks_written_for_registry2_still_work(host: ContainerHost) -> None:
    """The image has the wget that compose files call."""
    start(host, "--volume", "health:/var/lib/registry", *CAREFUL)
    host.await_status("/healthz", 200)
    host.run("podman", "exec", "registry", "wget", "-q", "--spider", "http://127.0.0.1:5000/healthz")


@pytest.fixture
def filled(tmp_path: Path, host: ContainerHost, picture: Path, tool: Tool) -> Path:
    """Give a folder with `config.yml`, `auth/` and `data/` that root's registry:2 has filled."""
    (tmp_path / "auth").mkdir()
    made = host.run(tool("htpasswd"), "-Bbn", "alice", "s3cret").stdout
    (tmp_path / "auth" / "htpasswd").write_text(made, encoding="utf-8")
    (tmp_path / "config.yml").write_text(CONFIG, encoding="utf-8")
    own = CONFIG.replace("/var/lib/registry", str(tmp_path / "data")).replace("/auth/", f"{tmp_path}/auth/")
    (tmp_path / "own.yml").write_text(own, encoding="utf-8")
    with host.program(tool("docker-registry"), "serve", tmp_path / "own.yml", log=tmp_path / "registry2.log"):
        host.await_status("/v2/", 401)
        push(host, picture, "team/hello:1", "--dest-creds", "alice:s3cret")
    return tmp_path


def mounts(folder: Path) -> tuple[str, ...]:
    """Mount what a compose file for registry:2 mounts."""
    return (
        *("--volume", f"{folder}/data:/var/lib/registry"),
        *("--volume", f"{folder}/auth:/auth:ro"),
        *("--volume", f"{folder}/config.yml:/etc/docker/registry/config.yml:ro"),
    )


def assert_takes_over(host: ContainerHost, picture: Path) -> None:
    """The old image is served to the old login, a new one is taken, and nobody else gets in."""
    login = ("--creds", "alice:s3cret")
    host.await_status("/v2/team/hello/manifests/1", 200, "--user", "alice:s3cret", "--head")
    assert host.status("/v2/") == 401
    expected = digest_of(host, f"oci:{picture}:latest")
    assert digest_of(host, "docker://127.0.0.1:5000/team/hello:1", "--tls-verify=false", *login) == expected
    push(host, picture, "team/hello:2", "--dest-creds", "alice:s3cret")
    assert digest_of(host, "docker://127.0.0.1:5000/team/hello:2", "--tls-verify=false", *login) == expected


def test_a_folder_of_roots_is_refused_with_the_way_out(host: ContainerHost, filled: Path) -> None:
    """On the folder that registry:2 filled as root it does not start, and names the command that helps."""
    seen = host.run("podman", "run", "--rm", "--network", "host", *mounts(filled), IMAGE, check=False, timeout=60)
    assert seen.returncode != 0
    assert "chown" in seen.stdout


def test_it_takes_registry2s_place_after_a_chown_and_gives_it_back(
    host: ContainerHost, picture: Path, filled: Path, tool: Tool
) -> None:
    """The same mounts and file serve what registry:2 served; stopped, registry:2 serves what was pushed meanwhile."""
    host.run("chown", "-R", f"{USER}:{USER}", filled / "data")
    start(host, *mounts(filled))
    assert_takes_over(host, picture)
    host.run("podman", "stop", "--time", "60", "registry")
    with host.program(tool("docker-registry"), "serve", filled / "own.yml", log=filled / "registry2.log"):
        host.await_status("/v2/", 401)
        target = "docker://127.0.0.1:5000/team/hello:2"
        seen = digest_of(host, target, "--tls-verify=false", "--creds", "alice:s3cret")
        host.run(
            "skopeo", "copy", "--src-tls-verify=false", "--src-creds", "alice:s3cret", target, f"dir:{filled}/back"
        )
    assert seen == digest_of(host, f"oci:{picture}:latest")


def test_it_takes_registry2s_place_as_root(host: ContainerHost, picture: Path, filled: Path) -> None:
    """With `user: 0:0` nothing on the folder has to change."""
    start(host, "--user", "0:0", *mounts(filled))
    assert_takes_over(host, picture)


def test_registry2s_command_is_understood(host: ContainerHost, filled: Path) -> None:
    """`command: serve FILE`, as people write it for registry:2's image, serves that file."""
    start(host, "--user", "0:0", *mounts(filled), command=("serve", "/etc/docker/registry/config.yml"))
    host.await_status("/v2/", 200, "--user", "alice:s3cret")


@pytest.fixture
def sockets() -> Iterator[Path]:
    """Give a folder for an engine's sockets."""
    with folder_of_sockets() as folder:
        yield folder


@pytest.fixture
def engine(host: ContainerHost, archive: Path, tmp_path: Path, sockets: Path, tool: Tool) -> Iterator[Path]:
    """Run Docker with the image loaded from its archive; gives its socket."""
    socket = sockets / "docker.sock"
    daemon = (
        *(tool("dockerd"), "--host", f"unix://{socket}", "--data-root", tmp_path / "docker", "--exec-root", sockets),
        *("--pidfile", tmp_path / "docker.pid", "--storage-driver", "overlay2"),
    )
    with host.program(*daemon, log=tmp_path / "dockerd.log"):
        docker = (tool("docker"), "--host", f"unix://{socket}")
        await_docker(host, docker)
        host.run(*docker, "load", "--quiet", "--input", archive)
        yield socket


def compose(tool: Tool, engine: Path, file: Path) -> tuple[str | Path, ...]:
    """Give the words before those of a command of Compose."""
    environment = ("env", f"DOCKER_HOST=unix://{engine}", f"ENTREPOT_IMAGE={IMAGE}")
    return (*environment, tool("docker-compose"), "--file", file, "--project-name", "entrepot")


def test_the_compose_file_runs_as_it_stands(host: ContainerHost, engine: Path, picture: Path, tool: Tool) -> None:
    """Docker loads the archive, Compose starts it and calls it healthy, and the printed password serves for a push."""
    words = compose(tool, engine, ROOT / "deploy" / "compose.yaml")
    host.run(*words, "up", "--detach", "--wait", "--wait-timeout", "60")
    found = PASSWORD.findall(host.run(*words, "logs").stdout)
    assert len(found) == 1
    push(host, picture, "team/hello:1", "--dest-creds", f"admin:{found[0]}")
    host.run(*words, "down", "--volumes")


#: What somebody has who runs two replicas of registry:2.
BEFORE = """\
version: '3'
services:
  registry:
    image: registry:2
    ports:
      - "5000:5000"
    environment:
      REGISTRY_STORAGE_DELETE_ENABLED: "true"
    volumes:
      - registry-data:/var/lib/registry
    deploy:
      replicas: 2
volumes:
  registry-data:
"""


def test_a_compose_file_of_registry2_runs_with_two_lines_changed(
    host: ContainerHost, engine: Path, picture: Path, tmp_path: Path, tool: Tool
) -> None:
    """Two replicas on one volume behind HAProxy's file as it stands: push, kill either, pull from the other."""
    ours = (ROOT / "deploy" / "compose-two-replicas.yaml").read_text(encoding="utf-8")
    lines = [line.partition("  #")[0].rstrip() for line in ours.splitlines() if not line.startswith("#")]
    assert [old for old, new in zip(BEFORE.splitlines(), lines, strict=True) if old != new] == [
        "    image: registry:2",
        '      - "5000:5000"',
    ]
    (tmp_path / "compose.yaml").write_text(ours.replace("localhost/entrepot:latest", IMAGE), encoding="utf-8")
    words = compose(tool, engine, tmp_path / "compose.yaml")
    host.run(*words, "up", "--detach")
    with balanced(host, tmp_path, tool) as trusted:
        await_through_proxy(host, trusted)
        found = PASSWORD.findall(host.run(*words, "logs").stdout)
        assert len(found) == 1, "each made a password of its own"
        login = (f"admin:{found[0]}", "--dest-cert-dir", trusted)
        source = f"oci:{picture}:latest"
        host.run("skopeo", "copy", "--dest-creds", *login, source, "docker://127.0.0.1/team/hello:1")
        for number in (1, 2):
            host.run(tool("docker"), "--host", f"unix://{engine}", "kill", f"entrepot-registry-{number}")
            pulled = ("--creds", f"admin:{found[0]}", "--cert-dir", str(trusted), "--retry-times", "5")
            await_through_proxy(host, trusted)  # which needs some seconds to notice, where all is slow
            assert digest_of(host, "docker://127.0.0.1/team/hello:1", *pulled) == digest_of(host, source)
            host.run(*words, "up", "--detach")
            await_through_proxy(host, trusted)
    host.run(*words, "down", "--volumes")


@contextmanager
def balanced(host: ContainerHost, folder: Path, tool: Tool) -> Iterator[Path]:
    """Run HAProxy by its file, but for where the certificate is; gives a folder with whom to trust."""
    trusted = folder / "trusted"
    trusted.mkdir()
    signer = authority()
    signer.write(trusted / "ca.crt", folder / "ca.key")
    identity(signed_by=signer).write(folder / "registry.pem", folder / "registry.pem.key")
    text = (ROOT / "deploy" / "haproxy.cfg").read_text(encoding="utf-8")
    file = folder / "haproxy.cfg"
    file.write_text(text.replace("/etc/haproxy/registry.pem", str(folder / "registry.pem")), encoding="utf-8")
    with host.program(tool("haproxy"), "-db", "-f", file, log=folder / "haproxy.log"):
        yield trusted


def await_through_proxy(host: ContainerHost, trusted: Path) -> None:
    """Wait until both replicas are taken for ready: six answers in a row, which go to them in turn."""
    ask = 'for try in 1 2 3 4 5 6; do curl -sf --cacert "$1" https://127.0.0.1/readyz || exit 1; done'
    again = f"for round in $(seq 300); do ( {ask} ) && exit; sleep 0.2; done; exit 1"
    host.run("sh", "-c", again, "-", trusted / "ca.crt")
    time.sleep(2.5)  # HAProxy looks each second, and must see one that is back


def await_docker(host: ContainerHost, docker: tuple[str | Path, ...]) -> None:
    """Wait until the engine answers."""
    host.run("sh", "-c", 'for try in $(seq 100); do "$@" && exit; sleep 0.2; done; exit 1', "-", *docker, "version")
