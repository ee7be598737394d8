"""How it is shown which layers are nearly the same."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from entrepot.insight.duplicates.similarity import Estimate
from entrepot.web.api.values import moment

_GIB: Final = 1024**3
_DIGEST: Final = "sha256:" + 64 * "a"
_LOOKED: Final = "2026-01-02T03:04:05Z"


class AlikeLayers(BaseModel):
    """A layer, the one before it that is most like it, and about how much of it is in that."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "digest": _DIGEST,
                "like": _DIGEST,
                "bytes": 10 * _GIB,
                "share": 0.9,
                "duplicate_bytes": 9 * _GIB,
            }
        }
    )

    digest: str
    like: str
    bytes: int
    share: float
    duplicate_bytes: int


class Duplicates(BaseModel):
    """About how many bytes of layers are in others that are nearly the same; all is empty before the first look."""

    finished_at: datetime | None = Field(examples=[_LOOKED])
    layers: int = Field(examples=[4000])
    layer_bytes: int = Field(examples=[400 * _GIB])
    duplicate_bytes: int = Field(examples=[60 * _GIB])
    not_looked_into: dict[str, int] = Field(examples=[{"broken": 12}])
    least_bytes: int = Field(examples=[65536])
    pairs: list[AlikeLayers]

    @classmethod
    def of(cls, estimate: Estimate | None) -> Duplicates:
        """Return what is shown of an estimate."""
        if estimate is None:
            return cls(
                finished_at=None,
                layers=0,
                layer_bytes=0,
                duplicate_bytes=0,
                not_looked_into={},
                least_bytes=0,
                pairs=[],
            )
        return cls(
            finished_at=moment(estimate.finished_at),
            layers=estimate.layers,
            layer_bytes=estimate.layer_bytes,
            duplicate_bytes=estimate.duplicate_bytes,
            not_looked_into=dict(estimate.not_looked_into),
            least_bytes=estimate.least_bytes,
            pairs=[AlikeLayers(**asdict(pair)) for pair in estimate.pairs],
        )
