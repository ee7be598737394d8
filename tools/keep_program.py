"""Keeps the program of a released version for the tests of upgrades: `python -m tools.keep_program REVISION`.

The file holds the package as Git has it at that revision, and is named after its schema. Tests run it beside the
present program, in any clone, however shallow. So one is kept of the version before, at least. The first that is kept
is whole; later ones are kept as what differs from it, a tenth of the size.
"""

import io
import lzma
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

from backports import zstd

PROGRAMS: Final = Path(__file__).resolve().parents[1] / "tests" / "migrations" / "programs"
_PACKAGE: Final = "src/entrepot"
_VERSION: Final = re.compile(r"^VERSION.* = (\d+)$", re.MULTILINE)
#: The whole of the other archive is within reach.
_OPTIONS: Final[dict[int, int]] = {
    zstd.CompressionParameter.compression_level: 19,
    zstd.CompressionParameter.window_log: 27,
    zstd.CompressionParameter.enable_long_distance_matching: 1,
}


def main(revision: str) -> Path:
    """Write the file, and say where it is; the same revision gives the same bytes.

    Raises:
        SystemExit: There is no such revision, or it has no schema.
    """
    done = subprocess.run(["git", "archive", f"{revision}^{{commit}}", _PACKAGE], capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr.decode())
    number = _schema_of(done.stdout)
    return keep(done.stdout, number, PROGRAMS)


def keep(archive: bytes, number: int, folder: Path) -> Path:
    """Keep an archive with the program of a schema in a folder."""
    whole = next(
        (file for file in sorted(folder.glob("schema-*.tar.xz")) if file.name != f"schema-{number}.tar.xz"), None
    )
    if whole is None:
        target = folder / f"schema-{number}.tar.xz"
        target.write_bytes(lzma.compress(archive, preset=9 | lzma.PRESET_EXTREME))
        return target
    base = zstd.ZstdDict(lzma.decompress(whole.read_bytes()), is_raw=True)
    target = folder / f"schema-{number}.from-{whole.name.split('.')[0].rpartition('-')[2]}.zst"
    target.write_bytes(zstd.compress(archive, options=_OPTIONS, zstd_dict=base.as_prefix))
    return target


def archive_in(file: Path) -> bytes:
    """Return the archive that a file keeps."""
    if file.suffix == ".xz":
        return lzma.decompress(file.read_bytes())
    whole = file.with_name(f"schema-{file.name.split('.')[1].rpartition('-')[2]}.tar.xz")
    base = zstd.ZstdDict(lzma.decompress(whole.read_bytes()), is_raw=True)
    return zstd.decompress(
        file.read_bytes(), zstd_dict=base.as_prefix, options={zstd.DecompressionParameter.window_log_max: 27}
    )


def _schema_of(archive: bytes) -> int:
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        source = files.extractfile(f"{_PACKAGE}/metadata/schema.py")
        found = _VERSION.search(source.read().decode()) if source else None
    if found is None:
        raise SystemExit("the program of that revision has no schema")
    return int(found[1])


if __name__ == "__main__":
    print(main(sys.argv[1]))
