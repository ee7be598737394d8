"""`make package`: what can be installed, with the same bytes each time."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_package_built_twice_has_the_same_bytes(tmp_path: Path) -> None:
    """Wheel and sdist, whatever the time and the person's umask; the program in the wheel runs."""
    built = []
    for name, umask in (("one", 0o022), ("two", 0o077)):
        subprocess.run(
            [ROOT / "tools" / "package.sh", tmp_path / name], check=True, umask=umask, stdout=subprocess.PIPE
        )
        built.append({path.name: path.read_bytes() for path in (tmp_path / name).glob("entrepot-*")})
    assert built[0] == built[1]
    assert len(built[0]) == 2
    (wheel,) = (tmp_path / "one").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert {"entrepot/web/pages.css", "entrepot/web/page.zh.json"} <= set(names)
        assert not [name for name in names if name.endswith(".pyc")]
    script = f"import sys; sys.path.insert(0, {str(wheel)!r}); sys.argv[1:] = ['--version']; "
    script += "from entrepot.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("entrepot ")
