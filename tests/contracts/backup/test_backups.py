"""Backups: made beside a registry that changes, only what is new; brought back whole, or refused by name."""

from __future__ import annotations

import json
import os
from itertools import count
from pathlib import Path

import pytest

from entrepot.adapters.backups.memory import MemoryTarget
from entrepot.backup import layout
from entrepot.backup.catalogue import Catalogue
from entrepot.backup.errors import (
    BackupError,
    BackupIncomplete,
    NoBackup,
    PieceDamaged,
    PieceMissing,
    TargetBusy,
    WrongKey,
)
from entrepot.backup.prune import Keep, prune
from entrepot.backup.sealed_pieces import once, open_pieces
from entrepot.backup.verify import remove_damaged
from entrepot.metadata import schema
from entrepot.metadata.contents import blobs
from entrepot.metadata.integrity import findings
from entrepot.metadata.query import RawQuery
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown
from entrepot.oci.reference import Tag
from entrepot.telemetry.progress import Stopped, Unwatched
from entrepot.vault.master import MasterKey, MasterKeys
from tests.contracts.backup.conftest import KEYS, Backups, Place, open_place
from tests.contracts.registry.pushing import ALICE, NAME
from tests.support.damage import flip_a_bit

LAYERS = [os.urandom(1000 * (number + 1)) for number in range(6)]
LARGE = os.urandom(3 * 1024 * 1024)


@pytest.fixture
async def images(place: Place) -> list[bytes]:
    """Push images; one has a layer of several chunks."""
    bodies = [await place.pusher.image(f"v{number}", layer) for number, layer in enumerate(LAYERS)]
    return [*bodies, await place.pusher.image("large", LARGE)]


async def pulled(place: Place, tag: str, layer: bytes) -> bytes:
    """Pull an image and check its layer."""
    manifest = await place.registry.manifests.get(NAME, Tag.parse(tag), content=True)
    record = await place.registry.blobs.get(NAME, Digest.of(layer))
    assert b"".join([piece async for piece in place.store.stream(record.key)]) == layer
    assert manifest.content is not None
    return manifest.content


async def test_a_restored_registry_is_what_it_was(
    place: Place, images: list[bytes], backups: Backups, tmp_path: Path
) -> None:
    """Every image pulls, a check-up finds nothing, and what was pushed after the backup is not there."""
    info = await backups.create(place)
    await place.pusher.image("later", b"later")
    restored = await backups.restore(tmp_path / "other")
    assert (restored.backup, restored.restored, restored.kept, restored.lost) == (info.id, 8, 0, [])
    assert (info.blobs, info.new_blobs, info.lost, info.schema) == (8, 8, (), schema.VERSION)
    async with open_place(tmp_path / "other") as other:
        for number, layer in enumerate(LAYERS):
            assert await pulled(other, f"v{number}", layer) == images[number]
        assert await pulled(other, "large", LARGE) == images[-1]
        with pytest.raises(BlobUnknown):
            await other.registry.blobs.get(NAME, Digest.of(b"later"))
        assert await other.problems() == []
        record = await other.registry.blobs.get(NAME, Digest.of(LARGE))
        file = other.file(LARGE).stat()
        assert not other.registry.verifying.is_suspect(record, file.st_ino, file.st_mtime_ns), "it was hashed just now"
        assert sorted(path.name for path in (tmp_path / "other/entrepot").glob("*restoring*")) == []


async def test_a_second_backup_brings_only_what_is_new(place: Place, images: list[bytes], backups: Backups) -> None:
    """Blobs that the first one brought are not touched."""
    await backups.create(place)
    before = dict(backups.target.pieces)
    await place.pusher.image("new", b"new layer")
    info = await backups.create(place)
    assert (info.blobs, info.new_blobs, info.new_bytes) == (9, 1, len(b"new layer"))
    new = {name for name in backups.target.pieces if name not in before}
    assert {name for name in new if name.startswith(layout.BLOBS)} == {backups.blob(b"new layer")}
    assert all(backups.target.pieces[name] == content for name, content in before.items())
    assert len(await Catalogue(await backups.pieces()).list()) == 2
    assert len(images) == 7


async def test_an_older_backup_can_be_chosen(
    place: Place, images: list[bytes], backups: Backups, tmp_path: Path
) -> None:
    """The newest is taken unless another is named."""
    first = await backups.create(place)
    await place.registry.manifests.delete(NAME, Tag.parse("v0"), actor=ALICE)
    second = await backups.create(place)
    for backup_id, tags in ((first.id, True), ("latest", False)):
        assert (await backups.restore(tmp_path / backup_id, backup_id)).backup in (first.id, second.id)
        async with open_place(tmp_path / backup_id) as other:
            found = await other.stores.metadata.all(RawQuery("SELECT name FROM tags WHERE name = 'v0'"))
            assert bool(found) is tags
    with pytest.raises(NoBackup, match="there is no backup 20200101t000000-000000"):
        await backups.restore(tmp_path / "x", "20200101t000000-000000")
    with pytest.raises(NoBackup, match="no id of a backup"):
        await backups.restore(tmp_path / "x", "../../etc")
    assert len(images) == 7


async def test_nothing_can_be_read_without_the_key(place: Place, images: list[bytes]) -> None:
    """Neither bytes nor names nor digests; a wrong key, a missing one and a needless one are told apart."""
    target = MemoryTarget()
    await Backups(target, KEYS).create(place)
    everything = b"".join(target.pieces.values()) + "".join(target.pieces).encode()
    for secret in (LAYERS[0], LARGE[:64], NAME.encode(), str(Digest.of(LAYERS[0])).encode(), b"SQLite"):
        assert secret not in everything
        assert Digest.of(LAYERS[0]).encoded.encode() not in everything
    other = MasterKeys.of([MasterKey(bytes(reversed(range(32))))])
    with pytest.raises(WrongKey, match=f"encrypted with the key {KEYS.current.id}, and the one given is"):
        await open_pieces(target, other)
    with pytest.raises(WrongKey, match="give its file with --key"):
        await open_pieces(target, None)
    plain = MemoryTarget()
    await Backups(plain, None).create(place)
    with pytest.raises(WrongKey, match="not encrypted"):
        await open_pieces(plain, KEYS)
    both = MasterKeys.of([other.current, KEYS.current])
    assert (await open_pieces(target, both)).key == KEYS.current.secret
    assert len(images) == 7


async def test_a_place_of_something_else_is_not_used(place: Place) -> None:
    """Nothing is written among files that are no backups; nothing is read where there are none."""
    target = MemoryTarget()
    with pytest.raises(BackupError, match="there are no backups here"):
        await open_pieces(target, None)
    target.pieces["holiday.jpg"] = b"x"
    with pytest.raises(BackupError, match=r"holiday\.jpg"):
        await Backups(target, None).create(place)
    assert set(target.pieces) == {"holiday.jpg"}
    target.pieces.clear()
    target.pieces[layout.FORM] = json.dumps({"version": 99, "key": None}).encode()
    with pytest.raises(BackupError, match="version 99"):
        await open_pieces(target, None)


class _StopAt(Unwatched):
    """Somebody who asks for the end once so many bytes are done, of the part of the work that a line begins."""

    def __init__(self, done: int, line: str) -> None:
        self._done = done
        self._line = line
        self._began = False

    async def say(self, message: str) -> None:
        self._began = self._began or message == self._line

    async def step(self, done: int, total: int | None = None) -> None:
        del total
        if self._began and done >= self._done:
            raise Stopped


async def test_what_a_stopped_backup_left_is_used_if_it_is_whole(
    place: Place, images: list[bytes], backups: Backups, tmp_path: Path
) -> None:
    """It is no backup; its pieces are read before they are trusted, for a power cut may have cut them."""
    with pytest.raises(Stopped):
        await backups.create(place, _StopAt(1, "copying blobs"))
    assert await Catalogue(await backups.pieces()).ids() == []
    with pytest.raises(NoBackup, match="no complete backup"):
        await backups.verify()
    await backups.create(place)
    for name in [name for name in backups.target.pieces if name.startswith(layout.BACKUPS)]:
        del backups.target.pieces[name]
    backups.flip(backups.blob(LAYERS[1]))
    backups.target.pieces[backups.blob(LAYERS[2])] = b"cut"
    info = await backups.create(place)
    assert info.new_blobs == 2
    assert (await backups.verify()).faults == []
    assert (await backups.restore(tmp_path / "other")).lost == []
    assert len(images) == 7


class _Pushes(Unwatched):
    """Somebody pushes an image while the first round runs."""

    def __init__(self, place: Place, layer: bytes) -> None:
        self._place = place
        self._layer = layer
        self._pushed = False

    async def step(self, done: int, total: int | None = None) -> None:
        del done, total
        if not self._pushed:
            self._pushed = True
            await self._place.pusher.image("late", self._layer)


async def test_a_piece_that_was_there_before_its_blob_is_read_before_it_is_trusted(
    place: Place, images: list[bytes], backups: Backups, tmp_path: Path
) -> None:
    """Whoever was cut off may have left it damaged; the first round had passed its digest when it was pushed."""
    layer = next(found for found in (b"%d" % n for n in count()) if Digest.of(found).encoded.startswith("00"))
    await (await backups.pieces()).put(backups.blob(layer), once(layer))
    backups.flip(backups.blob(layer))
    info = await backups.create(place, _Pushes(place, layer))
    assert (info.blobs, info.lost) == (9, ())
    assert (await backups.verify()).faults == []
    assert (await backups.restore(tmp_path / "other")).lost == []
    assert len(images) == 7


async def test_the_second_round_reads_nothing_again(
    place: Place, images: list[bytes], backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first one brought, up to the newest blob that was there, is trusted."""
    read: list[str] = []
    get = backups.target.get
    monkeypatch.setattr(backups.target, "get", lambda name: (read.append(name), get(name))[1])
    assert (await backups.create(place)).new_blobs == 8
    assert [name for name in read if name.startswith(layout.BLOBS)] == []
    assert len(images) == 7


async def test_two_at_once_are_refused(place: Place, backups: Backups) -> None:
    """A second backup, a pruning: whoever comes second is told."""
    pieces = await backups.pieces()
    async with pieces.target.alone():
        with pytest.raises(TargetBusy):
            await backups.create(place)
        with pytest.raises(TargetBusy):
            await prune(pieces, Keep(last=1), Unwatched())


async def test_damaged_blobs_are_named_and_out_of_sight(
    place: Place, images: list[bytes], backups: Backups, tmp_path: Path
) -> None:
    """A backup brings what is whole, says what is not, and a restoration of it knows what it lacks."""
    flip_a_bit(place.file(LAYERS[0]), 3)
    place.file(LAYERS[1]).unlink()
    info = await backups.create(place)
    lost = sorted([str(Digest.of(LAYERS[0])), str(Digest.of(LAYERS[1]))])
    assert list(info.lost) == lost
    assert info.blobs == 6
    assert await findings.count_open(place.stores.metadata) == {findings.BLOB_DAMAGED: 1, findings.BLOB_MISSING: 1}
    assert (await backups.verify()).faults == []
    restored = await backups.restore(tmp_path / "other")
    assert restored.lost == lost
    async with open_place(tmp_path / "other") as other:
        assert await pulled(other, "v2", LAYERS[2]) == images[2]
        with pytest.raises(BlobUnknown):
            await other.registry.blobs.get(NAME, Digest.of(LAYERS[0]))
        await other.pusher.blob(LAYERS[0])
        await other.pusher.blob(LAYERS[1])
        assert await pulled(other, "v0", LAYERS[0]) == images[0]
        assert await other.problems() == []


@pytest.mark.parametrize("harm", ["missing", "flipped", "cut"])
async def test_a_backup_with_a_bad_blob_is_refused_by_name(
    place: Place, images: list[bytes], backups: Backups, tmp_path: Path, harm: str
) -> None:
    """No registry can start on what was restored of it, unless that is wanted; then what lacks is known."""
    await backups.create(place)
    name = backups.blob(LAYERS[3])
    if harm == "missing":
        del backups.target.pieces[name]
    elif harm == "flipped":
        backups.flip(name)
    else:
        backups.target.pieces[name] = backups.target.pieces[name][:-1]
    faults = (await backups.verify()).faults
    assert [(fault.what, fault.name) for fault in faults] == [(f"blob {Digest.of(LAYERS[3])}", name)]
    assert len((await backups.verify(quick=True)).faults) == (0 if harm == "flipped" else 1)
    with pytest.raises(BackupIncomplete, match=name):
        await backups.restore(tmp_path / "other")
    assert not (tmp_path / "other/entrepot/metadata.db").exists()
    restored = await backups.restore(tmp_path / "other", incomplete=True)
    assert restored.lost == [str(Digest.of(LAYERS[3]))]
    async with open_place(tmp_path / "other") as other:
        row = await blobs.find(other.stores.metadata, str(Digest.of(LAYERS[3])))
        assert row is not None
        assert row.state == blobs.MISSING
        assert await pulled(other, "v2", LAYERS[2]) == images[2]
        assert await other.problems() == [("blob missing", str(Digest.of(LAYERS[3])))]


@pytest.mark.parametrize("part", [layout.DATABASE, layout.BLOB_LIST, layout.INFO])
@pytest.mark.parametrize("harm", ["missing", "flipped"])
async def test_a_backup_with_a_bad_part_is_refused_by_name(
    place: Place, images: list[bytes], backups: Backups, tmp_path: Path, part: str, harm: str
) -> None:
    """Database, list and description are looked at as blobs are."""
    info = await backups.create(place)
    name = layout.part(info.id, part)
    if harm == "missing":
        del backups.target.pieces[name]
    else:
        backups.flip(name)
    expected = NoBackup if (part, harm) == (layout.INFO, "missing") else (PieceDamaged, PieceMissing, BackupIncomplete)
    with pytest.raises(expected, match=r"no complete backup" if expected is NoBackup else name):
        await backups.restore(tmp_path / "other")
    assert not (tmp_path / "other/entrepot/metadata.db").exists()
    if part != layout.INFO:
        assert name in {fault.name for fault in (await backups.verify()).faults}
    assert len(images) == 7


async def test_a_stopped_restoration_goes_on(
    place: Place, images: list[bytes], backups: Backups, tmp_path: Path
) -> None:
    """What is there is read and kept if it is right; meanwhile no registry starts on it."""
    await backups.create(place)
    with pytest.raises(Stopped):
        await backups.restore(tmp_path / "other", progress=_StopAt(9_000, "bringing back blobs"))
    assert not (tmp_path / "other/entrepot/metadata.db").exists()
    done = [path for path in (tmp_path / "other/docker").rglob("data") if path.is_file()]
    assert done
    flip_a_bit(done[0], 0)
    restored = await backups.restore(tmp_path / "other")
    assert restored.kept == len(done) - 1
    async with open_place(tmp_path / "other") as other:
        assert await other.problems() == []
    assert len(images) == 7


class _During(Unwatched):
    """Somebody who does something when the work says a line."""

    def __init__(self, line: str, work: object) -> None:
        self._line = line
        self._work = work
        self.done = False

    async def say(self, message: str) -> None:
        if message == self._line and not self.done:
            self.done = True
            await self._work()  # type: ignore[operator] - a coroutine function


async def test_no_collection_takes_what_the_snapshot_needs(
    place: Place, images: list[bytes], backups: Backups, tmp_path: Path
) -> None:
    """From the snapshot on nobody else gets the turn to take bytes away; before it, pushes and deletes are free."""

    async def change() -> None:
        await place.pusher.image("during", b"pushed while blobs were copied")
        await place.registry.manifests.delete(NAME, Digest.of(images[5]), actor=ALICE)

    async def collect() -> None:
        await place.registry.manifests.delete(NAME, Digest.of(images[4]), actor=ALICE)
        with pytest.raises(TimeoutError):
            async with place.collecting(patience=0.1):
                pass

    first = _During("copying blobs", change)
    second = _During("copying what came since", collect)

    class Both(Unwatched):
        async def say(self, message: str) -> None:
            await first.say(message)
            await second.say(message)

    info = await backups.create(place, Both())
    assert (first.done, second.done) == (True, True)
    async with place.collecting(patience=0.1):
        place.file(LAYERS[4]).unlink()
    assert info.lost == ()
    await backups.restore(tmp_path / "other")
    async with open_place(tmp_path / "other") as other:
        assert await pulled(other, "v4", LAYERS[4]) == images[4]
        await pulled(other, "during", b"pushed while blobs were copied")


async def test_pruning_keeps_what_the_kept_ones_need(
    place: Place, images: list[bytes], backups: Backups, tmp_path: Path
) -> None:
    """Shared pieces stay; those of a blob that only a removed backup had go, and what was never completed."""
    first = await backups.create(place)
    await place.stores.metadata.write(
        lambda tx: tx.execute(RawQuery(f"UPDATE blobs SET state = 'deleting' WHERE digest = '{Digest.of(LARGE)}'"))
    )
    second = await backups.create(place)
    backups.target.pieces[layout.part("20200101t000000-000000", layout.DATABASE)] = b"never completed"
    pieces = await backups.pieces()
    before = dict(backups.target.pieces)
    dry = await prune(pieces, Keep(last=1), Unwatched(), dry_run=True)
    assert backups.target.pieces == before
    done = await prune(pieces, Keep(last=1), Unwatched())
    assert (done.kept, done.backups, done.pieces) == (dry.kept, dry.backups, dry.pieces) == (1, 1, 1)
    assert backups.blob(LARGE) not in backups.target.pieces
    assert not [name for name in backups.target.pieces if first.id in name or "20200101" in name]
    assert (await backups.verify()).faults == []
    assert (await backups.restore(tmp_path / "other")).backup == second.id
    with pytest.raises(ValueError, match="must stay"):
        await prune(pieces, Keep(), Unwatched())
    assert len(images) == 7


async def test_a_damaged_piece_is_brought_again(
    place: Place, images: list[bytes], backups: Backups, tmp_path: Path
) -> None:
    """A backup trusts what the one before had; a verification that removes what is damaged makes it look again."""
    await backups.create(place)
    backups.flip(backups.blob(LAYERS[0]))
    faults = (await backups.verify()).faults
    assert len(faults) == 1
    assert await remove_damaged(await backups.pieces(), faults) == 1
    assert (await backups.create(place)).new_blobs == 1
    assert (await backups.verify()).faults == []
    assert (await backups.restore(tmp_path / "other")).lost == []
    assert len(images) == 7


async def test_the_registrys_own_keys_are_in_encrypted_backups_only(
    place: Place, images: list[bytes], backups: Backups, tmp_path: Path
) -> None:
    """They come back as they were, readable by their owner alone; keys that are there stay."""
    keys = place.folder / "entrepot/keys"
    keys.mkdir(mode=0o700)
    (keys / "secret.key").write_text("the key")
    (keys / "token-signing-es256.json").write_text("{}")
    (keys / "secret.lock").touch()
    info = await backups.create(place)
    assert (info.keys_sha256 is not None) == (backups.keys is not None)
    await backups.restore(tmp_path / "other")
    there = tmp_path / "other/entrepot/keys"
    if backups.keys is None:
        assert not there.exists()
    else:
        assert sorted(path.name for path in there.iterdir()) == ["secret.key", "token-signing-es256.json"]
        assert (there / "secret.key").read_text() == "the key"
        assert (there / "secret.key").stat().st_mode & 0o777 == 0o600
    assert len(images) == 7
