"""`/icons/{digest}`: small pictures for the kinds of artifacts and accessories, drawn for this registry."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from entrepot.access.faults import NotFound
from entrepot.web.api.caller import CallerOf

_SVG: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#334155" stroke-width="1.6"'
    ' stroke-linejoin="round" stroke-linecap="round"><path d="{}"/></svg>'
)
_OTHER: Final = ""
#: What is drawn for each kind, by its name in `type`.
_SHAPES: Final[Mapping[str, str]] = {
    _OTHER: "M6 3h8l4 4v14H6z M14 3v4h4",
    "IMAGE": "M12 3l8 4.5v9L12 21l-8-4.5v-9z M4 7.5l8 4.5l8-4.5 M12 12v9",
    "CHART": "M12 8a4 4 0 1 0 0 8a4 4 0 1 0 0-8z M12 3v5 M12 16v5 M3 12h5 M16 12h5",
    "CNAB": "M4 8h16v12H4z M8 8V4h8v4",
    "WASM": "M4 4h6a2 2 0 0 0 4 0h6v16H4z",
    "SBOM": "M6 3h12v18H6z M9 8h6 M9 12h6 M9 16h4",
    "CNAI": "M12 4v16 M4 12h16 M6 6l12 12 M18 6L6 18",
    "signature.cosign": "M5 17c3-9 6-9 6-3s3 4 8-2 M4 21h16",
    "signature.notation": "M5 17c3-9 6-9 6-3s3 4 8-2 M4 21h12",
    "sbom.harbor": "M6 3h12v18H6z M9 8h6 M9 12h6 M9 16h4",
}
_ICONS: Final = {kind: _SVG.format(shape).encode() for kind, shape in _SHAPES.items()}
_DIGESTS: Final = {kind: f"sha256:{hashlib.sha256(icon).hexdigest()}" for kind, icon in _ICONS.items()}
_BY_DIGEST: Final = {_DIGESTS[kind]: icon for kind, icon in _ICONS.items()}
_TYPE: Final = "image/svg+xml"


class Icon(BaseModel):
    """A picture."""

    model_config = ConfigDict(
        serialize_by_alias=True,
        json_schema_extra={
            "example": {"content-type": _TYPE, "content": "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvIi8+"}
        },
    )

    content_type: Annotated[str, Field(serialization_alias="content-type")]
    content: str = Field(description="Base64.")


def icon_of(kind: str) -> str:
    """Return the digest of the picture for a kind of artifact or accessory."""
    return _DIGESTS.get(kind, _DIGESTS[_OTHER])


def router() -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["icon"])
    routes.add_api_route("/icons/{digest}", get_icon, methods=["GET"], operation_id="getIcon")
    return routes


async def get_icon(
    digest: Annotated[
        str, Path(max_length=200, description="The `icon` of an artifact.", examples=[_DIGESTS["IMAGE"]])
    ],
    _caller: CallerOf,
) -> Icon:
    """Return the picture that an artifact or an accessory names as its `icon`; open to everybody."""
    found = _BY_DIGEST.get(digest)
    if found is None:
        raise NotFound(f"there is no icon {digest[:100]!a}; artifacts name theirs in `icon`")
    return Icon(content_type=_TYPE, content=base64.b64encode(found).decode())
