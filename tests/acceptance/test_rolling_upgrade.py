"""R20: replicas of a released version are replaced one after the other, and back, while clients pull and push."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from benchmarks.seed import write_registry2_tree
from entrepot.metadata import schema
from tests.support.fleet import Fleet, fleet, push_images
from tests.support.programs import Program, kept_programs
from tests.support.pulling import Image, Pulls

Steps = tuple[tuple[int, bool], ...]
#: Which of the two is replaced, and whether by the new version.
THERE: Steps = ((0, True), (1, True))
THERE_AND_BACK: Steps = ((0, True), (0, False), *THERE)
TEN: Steps = (*(*THERE, (0, False), (1, False)) * 2, *THERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How long a test is."""

    rounds: int = 1
    steps: Steps
    images: int = 0


def _forms(short: Form, long: Form) -> list[ParameterSet]:
    """Give the version before in a short form, and what is kept of it and later ones in a long form."""
    kept = [program for program in kept_programs() if program.schema >= schema.VERSION - 1]
    full = [pytest.mark.full, pytest.mark.timeout(3000)]
    return [
        pytest.param(kept[0], short, id=f"schema{kept[0].schema}"),
        *(pytest.param(program, long, id=f"schema{program.schema}-long", marks=full) for program in kept),
    ]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Program], Path]:
    """Give a function that unpacks a program once."""
    return cache(lambda program: program.unpack(tmp_path_factory.mktemp("program")))


async def roll(found: Fleet, package: Path, steps: Steps) -> None:
    """Replace one after the other while clients pull and push; then end the time of the old version."""
    async with found.busy():
        for number, up in steps:
            await found.replace(number, None if up else package)
        await found.finish()
    await found.check()


@pytest.mark.parametrize(("program", "form"), _forms(Form(steps=THERE_AND_BACK), Form(rounds=10, steps=TEN)))
async def test_replicas_are_replaced_while_clients_pull(
    program: Program, form: Form, packages: Callable[[Program], Path], tmp_path: Path
) -> None:
    """Up to this version and back down, restart after restart, no pull fails, and what was pushed is kept."""
    total = Pulls()
    for number in range(form.rounds):
        with fleet(tmp_path / str(number), package=packages(program)) as found:
            found.images += push_images(found.servers[0])
            await roll(found, packages(program), form.steps)
        total.add(found.pulls)
    print(f"{form.rounds * len(form.steps)} restarts: {total}")
    assert total.failed == []


@pytest.mark.parametrize(
    ("program", "form"), _forms(Form(steps=THERE, images=1_000), Form(rounds=2, steps=TEN, images=8_000))
)
async def test_replicas_are_replaced_while_they_adopt(
    program: Program, form: Form, packages: Callable[[Program], Path], tmp_path: Path
) -> None:
    """On a folder of registry:2 that they adopt meanwhile, its images pull from the first second on, as they were."""
    total = Pulls()
    for number in range(form.rounds):
        write_registry2_tree(tmp_path / str(number) / "data", repositories=form.images // 20, tags=20)
        with fleet(tmp_path / str(number), package=packages(program)) as found:
            found.images += list(images_in(found.servers[0].data))
            assert not adopted(found), "all was over before the first step"
            await roll(found, packages(program), form.steps)
            assert adopted(found)
        total.add(found.pulls)
    print(f"{form.rounds * len(form.steps)} restarts: {total}")
    assert total.failed == []


def images_in(folder: Path) -> Iterator[Image]:
    """Find the tags that registry:2 left, and what they name."""
    top = folder / "docker/registry/v2/repositories"
    for link in top.glob("*/*/_manifests/tags/*/current/link"):
        tag = link.parent.parent
        yield str(tag.parents[2].relative_to(top)), tag.name, link.read_text()


def adopted(found: Fleet) -> bool:
    """Tell whether either has adopted the folder."""
    return any("the folder is adopted" in server.logs() for server in found.servers)
