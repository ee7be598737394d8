"""`entrepot adopt` and `entrepot layout` as a person meets them at a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.seed import write_registry2_tree
from tests.support.commands import runner
from tests.support.open_folders import let_others_in
from tests.support.tools import find_tool

REPOSITORIES, TAGS = 30, 10
ENTREPOT = Path(sys.executable).parent / "entrepot"
BAR = re.compile(r"(\d+)/(\d+).{0,40}repositories, (\d+) manifests")
COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder as registry:2 leaves it."""
    folder = tmp_path_factory.mktemp("tree") / "registry"
    write_registry2_tree(folder, repositories=REPOSITORIES, tags=TAGS)
    return folder


@pytest.fixture
def folder(tree: Path, tmp_path: Path) -> Path:
    """Give a copy of it."""
    return shutil.copytree(tree, tmp_path / "registry")


def entrepot(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command without a terminal."""
    return subprocess.run([ENTREPOT, *words], capture_output=True, text=True, check=False, timeout=120)


class Screen:
    """A command at a terminal of 100 columns."""

    def __init__(self, *words: str | Path) -> None:
        self._end, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        # Whoever runs the tests in the background may have had Ctrl-C ignored; at a terminal nobody has.
        command = ["env", "--default-signal=INT", find_tool("setsid"), "--ctty", "--wait", ENTREPOT, *words]
        environment = {**os.environ, "TERM": "xterm"}
        self.process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environment)
        os.close(other)
        self.shown = ""

    def watch(self, until: Callable[[str], object] = lambda _shown: False) -> int | None:
        """Read what is shown until something is true of it; gives the exit code when the command ends before."""
        while not until(self.shown):
            try:
                piece = os.read(self._end, 65536)
            except OSError:  # the other end is closed
                return self.process.wait(60)
            self.shown += COLOURS.sub("", piece.decode(errors="replace"))
        return None

    def press(self, key: bytes) -> None:
        """Type something."""
        os.write(self._end, key)

    def close(self) -> None:
        """Turn the terminal off."""
        self.process.wait(60)
        os.close(self._end)


def test_a_person_sees_the_progress_stops_and_goes_on(tmp_path: Path) -> None:
    """The bar counts repositories and manifests; Ctrl-C says how to go on, and the next run does only the rest."""
    # Large enough that a fast machine is still at work when the key is pressed.
    folder, repositories = tmp_path / "registry", 300
    write_registry2_tree(folder, repositories=repositories, tags=TAGS)
    with closing(Screen("adopt", folder)) as screen:
        screen.watch(lambda shown: any(int(done) for done, _, _ in BAR.findall(shown)))
        screen.press(b"\x03")
        assert screen.watch() == 130, screen.shown
        assert "stopped; run the command again to go on" in screen.shown
        seen = [int(done) for done, total, _ in BAR.findall(screen.shown) if int(total) == repositories]
        assert seen == sorted(seen)
        assert 0 < seen[-1] < repositories
    with closing(Screen("adopt", folder)) as screen:
        assert screen.watch() == 0
        done, total, _ = BAR.findall(screen.shown)[-1]
        assert done == total
        assert 0 < int(total) < repositories
        assert f"{total} repositories, " in screen.shown
        assert "Nothing is broken." in screen.shown
    assert entrepot("layout", "check", folder).stdout.strip() == f"{repositories} repositories compared, 0 differences."


def test_a_program_reads_json(folder: Path) -> None:
    """Standard output is one JSON object, with what is broken; a second run says that there was nothing to do."""
    shutil.rmtree(next((folder / "docker/registry/v2/blobs/sha256").glob("*/*")))
    done = entrepot("adopt", "--json", folder)
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert (told["total"], told["done"], told["tags"]) == (REPOSITORIES, REPOSITORIES, REPOSITORIES * TAGS)
    assert len(told["report"]) == told["problems"] >= 1
    again = json.loads(entrepot("adopt", "--json", folder).stdout)
    assert (again["done"], again["report"]) == (0, told["report"])
    differences = json.loads(entrepot("layout", "check", "--json", folder).stdout)
    assert differences["repositories"] == REPOSITORIES
    assert "adopted already" in entrepot("adopt", folder).stderr


def test_layout_says_what_differs_and_writes_it(folder: Path) -> None:
    """Exit code 1 where something differs; what the files lack comes back, what only they have is named."""
    entrepot("adopt", folder)
    repository = folder / "docker/registry/v2/repositories/team0/app0"
    shutil.rmtree(repository / "_manifests/tags/v3")
    shutil.copytree(repository, repository.with_name("copy"))
    found = entrepot("layout", "check", folder)
    assert found.returncode == 1
    assert "2 differences" in found.stdout
    assert re.search(r"missing\W+tag\W+team0/app0\W+v3", found.stdout)
    assert re.search(r"extra\W+repository\W+team0/copy", found.stdout)
    assert entrepot("layout", "write", folder).returncode == 1
    assert (repository / "_manifests/tags/v3/current/link").exists()
    assert "1 difference." in entrepot("layout", "check", folder).stdout


def test_nothing_is_pruned_where_deleting_is_switched_off(folder: Path, tmp_path: Path) -> None:
    """By a configuration file or a variable: `--prune` is refused in one line, and what registry:2 lacks stays."""
    entrepot("adopt", folder)
    shutil.rmtree(folder / "docker/registry/v2/repositories/team0/app0/_manifests/tags/v3")
    (tmp_path / "config.yml").write_text("version: 0.1\nstorage: {filesystem: {}, delete: {enabled: false}}\n")
    refused = entrepot("adopt", "--delta", "--prune", "--config", tmp_path / "config.yml", folder)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith("error: Deleting is switched off")
    kept = json.loads(entrepot("adopt", "--delta", "--json", folder).stdout)["kept"]
    assert kept == [{"repository": "team0/app0", "tag": "v3"}]
    assert json.loads(entrepot("adopt", "--delta", "--prune", "--json", folder).stdout)["kept"] == []


def test_nothing_is_pruned_while_the_registry_is_read_only(folder: Path, tmp_path: Path) -> None:
    """By the configuration or by the switch: `--prune` is refused and what is missing stays; then it goes."""
    entrepot("adopt", folder)
    shutil.rmtree(folder / "docker/registry/v2/repositories/team0/app0/_manifests/tags/v3")
    config = tmp_path / "config.yml"
    config.write_text("version: 0.1\nstorage: {filesystem: {}, maintenance: {readonly: {enabled: true}}}\n")
    prune = ("adopt", "--delta", "--prune", "--json")
    refused = [entrepot(*prune, "--config", config, folder)]
    assert entrepot("readonly", "on", "--data", folder).returncode == 0
    refused.append(entrepot(*prune, folder))
    for one in refused:
        assert (one.returncode, one.stdout, one.stderr.count("\n")) == (1, "", 1)
        assert one.stderr.startswith("error: The registry is read-only, so nothing is pruned")
    assert len(json.loads(entrepot("adopt", "--delta", "--json", folder).stdout)["kept"]) == 1
    entrepot("readonly", "off", "--data", folder)
    assert json.loads(entrepot(*prune, folder).stdout)["kept"] == []
    assert "v3" not in entrepot("layout", "check", folder).stdout


def test_collection_goes_on_after_a_project_of_an_adopted_folder_is_removed(tmp_path: Path) -> None:
    """No other registry ever ran: our own deletions do not switch collection off, and `--delta` is never refused."""
    folder = tmp_path / "registry"
    write_registry2_tree(folder, repositories=2, tags=20)
    run = runner(tmp_path / "home")
    run("adopt", str(folder))
    for project in ("team0", "team1"):
        run("project", "remove", project, "--with-repositories", "--data", str(folder))
    assert "40 manifests gone" in run("trash", "empty", "--yes", "--data", str(folder)).output
    assert "things waiting for the grace" in run("gc", "--data", str(folder)).output
    assert "Nothing is broken" in run("adopt", "--delta", str(folder)).output
    assert not list((folder / "docker/registry/v2/repositories").rglob("link"))


@pytest.mark.parametrize("words", [("adopt",), ("layout", "check"), ("layout", "write")])
def test_a_wrong_folder_is_named(words: tuple[str, ...], folder: Path, tmp_path: Path) -> None:
    """The message says what is missing, which folder is perhaps meant, and nothing is made in the wrong one."""
    (tmp_path / "empty").mkdir()
    done = entrepot(*words, tmp_path / "empty")
    assert done.returncode == 1
    assert str(tmp_path / "empty") in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "empty").iterdir()) == []
    if words == ("adopt",):
        assert f"Did you mean {folder}?" in entrepot("adopt", folder / "docker").stderr
        assert f"Did you mean {folder}?" in entrepot("adopt", tmp_path).stderr
    else:
        assert f"entrepot adopt {folder}" in entrepot(*words, folder).stderr


def test_another_user_is_told_what_to_do(folder: Path) -> None:
    """Rights are looked at first: both ways out are printed, and nothing is made."""
    became = (
        "import os; from entrepot.cli.app import app; "
        "os.setgroups([]); os.setresgid(4321, 4321, 4321); os.setresuid(1234, 1234, 1234); app()"
    )
    let_others_in(folder)
    done = subprocess.run(
        [sys.executable, "-c", became, "adopt", str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert f"chown -R 1234:4321 {folder}" in done.stderr
    assert "--user 0:0" in done.stderr
    assert not (folder / "entrepot").exists()


@pytest.mark.full
@pytest.mark.parametrize(("repositories", "tags"), [(200, 100), (1, 20_000)])
def test_twenty_thousand_images_take_a_minute_at_most(repositories: int, tags: int, tmp_path: Path) -> None:
    """160,000 files, in many repositories or in one, on two cores; measured with whatever else runs there."""
    write_registry2_tree(tmp_path, repositories=repositories, tags=tags)
    begun = time.monotonic()
    done = json.loads(entrepot("adopt", "--json", tmp_path).stdout)
    took = time.monotonic() - begun
    print(f"{took:.1f} s")
    assert (done["manifests"], done["tags"], done["problems"]) == (20_000, 20_000, 0)
    assert took <= 60
