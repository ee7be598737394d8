"""What happens to the databases on a full disk: `full_disk.py HOW FOLDER`, the folder being a small file system.

Prints a JSON object that `tests/unit/metadata/test_full_disk.py` looks at.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from entrepot.metadata.engine.ballast import Reserve, with_reserve
from entrepot.metadata.errors import DatabaseFull
from entrepot.metadata.opening import Stores, open_embedded
from tests.support.notes import COUNT, GET, dropping, putting


async def fill(stores: Stores) -> int:
    """Write until the disk is full; return how many notes were acknowledged."""
    for number in range(10_000):
        try:
            await stores.metadata.write(putting(f"note-{number:05}", "x" * 100_000))
        except DatabaseFull:
            return number
    raise AssertionError("the disk did not fill up")


async def drop_all(stores: Stores, count: int) -> None:
    """Delete every note, one transaction each, as somebody who frees space."""
    with with_reserve(Reserve.RELEASED):
        for number in range(count):
            await stores.metadata.write(dropping(f"note-{number:05}"))


async def filled_by_the_database(folder: Path) -> dict[str, object]:
    """Fill the disk by the database, empty it, and go on."""
    stores = await open_embedded(folder / "entrepot")
    ballast = folder / "entrepot" / "ballast"
    await stores.metadata.write(putting("first", "kept"))
    seen: dict[str, object] = {"ballast before": ballast.exists()}
    written = await fill(stores)
    seen |= {"written": written, "ballast when full": ballast.exists()}
    seen["rows"] = await count(stores)
    seen["first"] = (await stores.metadata.one(GET, key="first") or ("",))[0]
    await drop_all(stores, written)
    seen["rows after deleting"] = await count(stores)
    await stores.metadata.write(putting("after", "x" * 100_000))
    await stores.close()
    stores = await open_embedded(folder / "entrepot")
    seen["rows after restart"] = await count(stores)
    await stores.close()
    return seen


async def filled_by_others(folder: Path) -> dict[str, object]:
    """Fill the disk by something else, to the last byte, and delete rows, also after a restart."""
    stores = await open_embedded(folder / "entrepot")
    await stores.metadata.write(putting("note-00000"))
    await stores.metadata.write(putting("note-00001"))
    space = os.statvfs(folder)
    (folder / "stranger").write_bytes(bytes(space.f_bavail * space.f_frsize))
    await asyncio.sleep(1.1)
    seen: dict[str, object] = {"ballast before": (folder / "entrepot" / "ballast").exists()}
    await stores.metadata.write(dropping("note-00000"))
    seen["ballast when full"] = (folder / "entrepot" / "ballast").exists()
    await stores.close()
    stores = await open_embedded(folder / "entrepot")
    await stores.metadata.write(dropping("note-00001"))
    seen["rows after deleting"] = await count(stores)
    await stores.close()
    return seen


async def taken_by_others(folder: Path) -> dict[str, object]:
    """Let something else take the ballast too, and all but a little of the reserve."""
    stores = await open_embedded(folder / "entrepot")
    aside = {name: folder / "entrepot" / name for name in ("ballast", "reserve")}
    for number in range(4):
        await stores.metadata.write(putting(f"note-0000{number}"))
    take(folder, "first")
    seen: dict[str, object] = {"small rows": await accepted(stores, 9), "ballast": aside["ballast"].exists()}
    take(folder, "second")
    with with_reserve(Reserve.USED):
        seen["rows of jobs"] = await accepted(stores, 8)
    seen["reserve kept"] = aside["reserve"].exists()
    with with_reserve(Reserve.RELEASED):
        await stores.metadata.write(dropping("note-00000"))
    seen["reserve when deleting"] = aside["reserve"].exists()
    take(folder, "third", left=1 << 20)
    seen["small rows at the end"] = await accepted(stores, 7)
    with with_reserve(Reserve.USED):
        seen["rows of jobs at the end"] = await accepted(stores, 6)
    with with_reserve(Reserve.RELEASED):
        await stores.metadata.write(dropping("note-00001"))
    seen["room for a body"] = stores.ballast.has_room(0)
    for name in ("first", "second", "third"):
        (folder / name).unlink()
    await asyncio.sleep(1.1)
    await stores.metadata.write(dropping("note-00002"))
    seen["put aside again"] = all(file.exists() for file in aside.values())
    seen["room for a body again"] = stores.ballast.has_room(1 << 20)
    await stores.close()
    return seen


async def accepted(stores: Stores, number: int) -> bool:
    """Write a small row; tell whether that was possible."""
    try:
        await stores.metadata.write(putting(f"row-{number}", "x" * 20_000))
    except DatabaseFull:
        return False
    return True


def take(folder: Path, name: str, *, left: int = 0) -> None:
    """Fill the disk."""
    space = os.statvfs(folder)
    (folder / name).write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - left)))


async def count(stores: Stores) -> int:
    """Count the notes."""
    row = await stores.metadata.one(COUNT)
    assert row is not None
    return int(row[0])


async def main(how: str, folder: Path) -> None:
    """Play one of the stories."""
    stories = {"database": filled_by_the_database, "others": filled_by_others, "reserve": taken_by_others}
    print(json.dumps(await stories[how](folder)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
