"""Say what is in a container image: `python -m tools.sbom image.tar` reads what `docker save` writes.

The answer has the form of CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/) and names the packages that the image's
own files declare: Debian's in dpkg's list, Python's in their `.dist-info`. The same image gives the same answer.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from urllib.parse import quote

_DPKG = "var/lib/dpkg/status"
_RELEASE = "usr/lib/os-release"
_PYTHON = ("usr/lib/entrepot/", ".dist-info/METADATA")


@dataclass(frozen=True, slots=True)
class Contents:
    """What the image declares: the files that name packages, and how the image itself is known."""

    name: str
    config_digest: str
    files: dict[str, str]


def read(archive: Path) -> Contents:
    """Read the files that name packages, each from the last layer that has it.

    Raises:
        KeyError: It is no archive of an image.

    """
    with tarfile.open(archive) as image:
        (entry,) = json.loads(_text(image, "manifest.json"))
        files: dict[str, str] = {}
        for layer in entry["Layers"]:
            content = image.extractfile(layer)
            assert content is not None
            with tarfile.open(fileobj=content) as tar:
                files |= dict(_declarations(tar))
        return Contents(entry["RepoTags"][0], entry["Config"].removesuffix(".json"), files)


def _text(tar: tarfile.TarFile, member: str | tarfile.TarInfo) -> str:
    content = tar.extractfile(member)
    assert content is not None
    return content.read().decode()


def _declarations(layer: tarfile.TarFile) -> Iterator[tuple[str, str]]:
    for member in layer:
        path = member.name.removeprefix("./")
        python = path.startswith(_PYTHON[0]) and path.endswith(_PYTHON[1])
        if member.isfile() and (python or path in {_DPKG, _RELEASE}):
            yield path, _text(layer, member)


def document(contents: Contents) -> dict[str, object]:
    """Write the list of materials."""
    # A package may carry a copy of another that is there, too.
    components = {component["bom-ref"]: component for component in (*_debian(contents), *_python(contents))}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": "image",
                "name": contents.name,
                "hashes": [{"alg": "SHA-256", "content": contents.config_digest.rpartition(":")[2].rpartition("/")[2]}],
            }
        },
        "components": [components[reference] for reference in sorted(components)],
    }


def _debian(contents: Contents) -> Iterator[dict[str, str]]:
    release = dict(line.split("=", 1) for line in contents.files.get(_RELEASE, "").splitlines() if "=" in line)
    distribution = f"{release.get('ID', 'debian')}-{release.get('VERSION_ID', '')}".replace('"', "").strip("-")
    for paragraph in contents.files.get(_DPKG, "").split("\n\n"):
        fields = HeaderParser().parsestr(paragraph.strip())
        if fields.get("Status", "").endswith(" installed"):
            where = f"?arch={fields['Architecture']}&distro={distribution}"
            yield _component(fields["Package"], fields["Version"], f"deb/{release.get('ID', 'debian')}", where)


def _python(contents: Contents) -> Iterator[dict[str, str]]:
    for path, text in contents.files.items():
        if path.endswith(_PYTHON[1]):
            fields = HeaderParser().parsestr(text)
            yield _component(re.sub(r"[-_.]+", "-", fields["Name"].lower()), fields["Version"], "pypi", "")


def _component(name: str, version: str, kind: str, where: str) -> dict[str, str]:
    purl = f"pkg:{kind}/{quote(name, safe='')}@{quote(version, safe='')}{where}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    print(json.dumps(document(read(Path(sys.argv[1]))), indent=2))
