"""Manifest bodies and strategies that the tests of `oci` share."""

import base64
import json

from hypothesis import strategies as st

from entrepot.oci import media_type as mt
from entrepot.oci.digest import ALGORITHMS, Digest

EMPTY = b"{}"


def descriptor(content: bytes = EMPTY, media_type: str = mt.OCI_EMPTY, **more: object) -> dict[str, object]:
    """Describe some content as a manifest does."""
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content), **more}


def image(**more: object) -> dict[str, object]:
    """Give a small image manifest; keywords replace fields or add to them."""
    layer = descriptor(b"layer", mt.OCI_LAYER_GZIP)
    return {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "config": descriptor(), "layers": [layer], **more}


def index(**more: object) -> dict[str, object]:
    """Give a small index; keywords replace fields or add to them."""
    child = descriptor(b"child", mt.OCI_MANIFEST)
    return {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [child], **more}


def encode(body: object) -> bytes:
    """Write a body as a client would."""
    return json.dumps(body).encode()


def embedded(content: bytes) -> str:
    """Write content as a descriptor's `data` field."""
    return base64.b64encode(content).decode()


digests = st.sampled_from(sorted(ALGORITHMS)).flatmap(
    lambda algorithm: st.binary(max_size=16).map(lambda content: Digest.of(content, algorithm))
)

#: Any JSON value, without the numbers and texts that our reader refuses.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)
