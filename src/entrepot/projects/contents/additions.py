"""What can be read out of an artifact itself: how an image was built, a chart's values, readme and dependencies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from entrepot.access.faults import Invalid, NotFound
from entrepot.metadata.contents import artifact_parts, repository_blobs
from entrepot.metadata.contents.artifact_parts import ConfigRecord
from entrepot.metadata.database import Reader
from entrepot.oci import manifest as oci_manifest
from entrepot.projects.contents.attributes import build_history, chart_dependencies
from entrepot.projects.contents.charts import LARGEST_ARCHIVE, file_of_chart
from entrepot.projects.contents.model import Artifact
from entrepot.projects.contents.small_blobs import SmallBlobs
from entrepot.registry.manifests import Manifests

_JSON: Final = "application/json; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"
_MARKDOWN: Final = "text/markdown; charset=utf-8"
_CHART_LAYER: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


@dataclass(frozen=True, slots=True)
class Addition:
    """Bytes of some type."""

    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Additions:
    """Reads additions."""

    metadata: Reader
    manifests: Manifests
    blobs: SmallBlobs

    async def read(self, artifact: Artifact, name: str) -> Addition:
        """Return an addition of an artifact.

        Raises:
            Invalid: Artifacts of this kind have no such addition.
            NotFound: This one has none, or what it would be read from is missing, broken or too large.
        """
        if name not in artifact.additions:
            known = ", ".join(artifact.additions) or "none"
            raise Invalid(f"{artifact.kind} artifacts like this one have no addition {name[:50]!a}; they have {known}")
        readers: dict[str, Callable[[Artifact], Awaitable[Addition | None]]] = {
            "build_history": self._build_history,
            "dependencies": self._dependencies,
            "values.yaml": self._values,
            "readme.md": self._readme,
        }
        found = await readers[name](artifact)
        if found is None:
            raise NotFound(f"{name} of {artifact.record.digest} cannot be read: it is missing, broken or too large")
        return found

    async def _build_history(self, artifact: Artifact) -> Addition | None:
        history = build_history(await self._config(artifact))
        return None if history is None else Addition(history, _JSON)

    async def _dependencies(self, artifact: Artifact) -> Addition | None:
        return Addition(json.dumps(chart_dependencies(await self._config(artifact))).encode(), _JSON)

    async def _values(self, artifact: Artifact) -> Addition | None:
        return await self._of_chart(artifact, "values.yaml", _TEXT)

    async def _readme(self, artifact: Artifact) -> Addition | None:
        return await self._of_chart(artifact, "readme.md", _MARKDOWN)

    async def _of_chart(self, artifact: Artifact, name: str, content_type: str) -> Addition | None:
        archive = await self._archive(artifact)
        content = None if archive is None else await asyncio.to_thread(file_of_chart, archive, name)
        return None if content is None else Addition(content, content_type)

    async def _config(self, artifact: Artifact) -> bytes | None:
        row_id = artifact.record.id
        blob = (await artifact_parts.configs(self.metadata, [row_id])).get(row_id)
        return None if blob is None else await self.blobs.read(blob)

    async def _archive(self, artifact: Artifact) -> bytes | None:
        raw = await self.manifests.content(artifact.record.digest)
        if raw is None:
            return None
        layers = oci_manifest.parse(raw, artifact.record.media_type).layers
        digest = next((str(layer.digest) for layer in layers if layer.media_type == _CHART_LAYER), None)
        blob = (
            None
            if digest is None
            else await repository_blobs.find_in(self.metadata, artifact.record.repository, digest)
        )
        if blob is None:
            return None
        found = ConfigRecord(digest=blob.digest, key=blob.storage_key, size=blob.size)
        return await self.blobs.read(found, largest=LARGEST_ARCHIVE)
