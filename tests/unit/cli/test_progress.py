"""Bars for long work: what is left of them on a terminal, and that there are none elsewhere."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from entrepot.adoption.run import Progress
from entrepot.cli.adopt import _bar
from entrepot.cli.progress import Bar
from tests.support.screen import Screen


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the machine's own settings away."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


async def work(file: io.StringIO, console: Console) -> None:
    """Do something that is watched and says something, then say how it went."""
    with Bar(console) as bar:
        await bar.step(1, 3)
        await bar.say("one was odd")
        await bar.step(2, 3)
    file.write("Freed 3 bytes.\n")


@pytest.mark.parametrize("width", [20, 100])
async def test_nothing_of_a_bar_is_left_beside_the_result(width: int) -> None:
    """Also where the work ended before the bar was full, and where the terminal is narrower than the bar."""
    screen = Screen()
    await work(screen, Console(file=screen, width=width))
    assert "2 of 3" in screen.getvalue() or width == 20
    assert screen.shown() == ["one was odd", "Freed 3 bytes."]


async def test_nothing_of_a_bar_is_left_when_the_work_fails() -> None:
    """The error stands alone."""
    screen = Screen()

    async def failing() -> None:
        with Bar(Console(file=screen, width=100)) as bar:
            await bar.step(5)
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        await failing()
    assert screen.getvalue()
    assert screen.shown() == []


@pytest.mark.parametrize("forced", [False, True])
async def test_no_bar_is_drawn_where_standard_error_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, *, forced: bool
) -> None:
    """What the work says is there, and nothing else; also where programs are told to colour what they write."""
    if forced:
        monkeypatch.setenv("FORCE_COLOR", "1")
    file = io.StringIO()
    await work(file, Console(file=file, width=100))
    assert file.getvalue() == "one was odd\nFreed 3 bytes.\n"


async def test_a_quiet_bar_writes_nothing() -> None:
    """Neither on a terminal."""
    screen = Screen()
    with Bar(Console(file=screen, quiet=True)) as bar:
        await bar.step(1, 3)
        await bar.say("one was odd")
    assert screen.getvalue() == ""


async def test_a_list_on_its_way_to_a_file_passes_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bar on a terminal and standard output in a file the lines are in the file, not on the terminal."""
    screen, file = Screen(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    with Bar(Console(file=screen, width=100)) as bar:
        print("sha256:aa")
        await bar.step(1, 1)
    assert (file.getvalue(), screen.shown()) == ("sha256:aa\n", [])


def test_nothing_of_the_bar_of_an_adoption_is_left() -> None:
    """It has more to say than the others, and is as gone."""
    screen = Screen()
    with _bar(Console(file=screen, width=100)) as on_progress:
        on_progress(Progress(total=9, done=4, repository="team/app"))
    assert "team/app" in screen.getvalue()
    assert screen.shown() == []
