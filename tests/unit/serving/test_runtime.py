"""The folder that the processes of one serve share, and their way to speak to the supervisor."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from entrepot.serving.errors import StartRefused
from entrepot.serving.listen import ListenLock
from entrepot.serving.notices import Notice, NoticeBoard, send
from entrepot.serving.runtime import RuntimeFolder
from entrepot.serving.settings import Address


def notice(text: str) -> Notice:
    """Give a message of a worker."""
    return Notice(kind="note", role="web", generation=1, pid=os.getpid(), text=text)


def test_the_folder_is_private_and_goes(tmp_path: Path) -> None:
    """Nobody else may look into it, and nothing is left at the end."""
    runtime = RuntimeFolder(tmp_path)
    assert stat.S_IMODE(runtime.path.stat().st_mode) == 0o700
    assert runtime.metrics.is_dir()
    (runtime.metrics / "web-0.json").write_text("[]")
    runtime.close()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_supervisor_left_is_removed_and_nobody_elses(tmp_path: Path) -> None:
    """A folder whose lock nobody holds is stale; that of a running supervisor, and foreign files, stay."""
    running = RuntimeFolder(tmp_path)
    stale = tmp_path / "entrepot-run-stale"
    (stale / "metrics").mkdir(parents=True)
    (stale / "lock").touch()
    (tmp_path / "other").mkdir()
    newer = RuntimeFolder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([running.path, newer.path, tmp_path / "other"])
    running.close()
    newer.close()


def test_servers_that_start_at_once_leave_each_others_folders_alone(tmp_path: Path) -> None:
    """A folder that another start is just making is no stale one, however the two meet."""

    def start(_number: int) -> None:
        runtime = RuntimeFolder(tmp_path)
        assert runtime.metrics.is_dir()
        runtime.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(800)))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_somebody_took_away_is_made_again() -> None:
    """Whole or in part: in its old place, as private as before, held against the next start, and it goes at the end."""
    with tempfile.TemporaryDirectory(prefix="e-") as short:  # the path of a socket has room for 107 bytes
        _taken_away_and_made_again(Path(short))


def _taken_away_and_made_again(tmp_path: Path) -> None:
    runtime = RuntimeFolder(tmp_path)
    board = NoticeBoard(runtime.notices)
    assert runtime.is_whole()
    for taken in (runtime.notices, runtime.path / "lock", runtime.path):
        shutil.rmtree(taken) if taken.is_dir() else taken.unlink()
        assert not runtime.is_whole()
        board.close()
        runtime.make_again()
        board.open()
        assert runtime.is_whole()
        assert stat.S_IMODE(runtime.path.stat().st_mode) == 0o700
        assert runtime.metrics.is_dir()
        send(runtime.notices, notice("heard"))
        assert board.read() == [notice("heard")]
        RuntimeFolder(tmp_path).close()
        assert runtime.is_whole()
    board.close()
    runtime.close()
    assert not list(tmp_path.iterdir())


def test_notices_arrive_in_order(tmp_path: Path) -> None:
    """What workers say is read at once, nothing when nothing was said, and long texts are no error."""
    board = NoticeBoard(tmp_path / "notices")
    assert board.read() == []
    send(tmp_path / "notices", notice("one"))
    send(tmp_path / "notices", notice("two\nlines"))
    assert board.read() == [notice("one"), notice("two\nlines")]
    board.close()


def test_nobody_listening_is_no_error(tmp_path: Path) -> None:
    """A worker whose supervisor is gone goes on."""
    send(tmp_path / "nothing", notice("x"))


def test_a_unix_socket_is_claimed_by_one(tmp_path: Path) -> None:
    """A second claim is refused while the first is held; a file left behind is removed."""
    path = tmp_path / "registry.sock"
    first = ListenLock(Address(unix=path))
    with pytest.raises(StartRefused, match="is in use by another program"):
        ListenLock(Address(unix=path))
    first.close()
    ListenLock(Address(unix=path)).close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 120, "longer than 107 bytes"),
        ("missing/registry.sock", "There is no folder"),
        ("file", "exists and is not a socket"),
    ],
)
def test_a_path_that_cannot_be_a_socket_is_refused_with_the_reason(tmp_path: Path, name: str, message: str) -> None:
    """The message says what is wrong with the path."""
    (tmp_path / "file").touch()
    with pytest.raises(StartRefused, match=message):
        ListenLock(Address(unix=tmp_path / name))


@pytest.mark.parametrize(
    ("address", "tls", "url"),
    [
        (Address(host="127.0.0.1", port=5000), False, "http://127.0.0.1:5000"),
        (Address(host="::1", port=443), True, "https://[::1]:443"),
        (Address(unix=Path("/run/registry.sock")), False, "unix:/run/registry.sock"),
    ],
)
def test_addresses_are_written_as_people_type_them(address: Address, tls: bool, url: str) -> None:  # noqa: FBT001
    """With scheme, brackets around IPv6, or the path of the socket."""
    assert address.url(tls=tls) == url
