"""Paths of the API: what is one part stays one part."""

from __future__ import annotations

import pytest

from entrepot.oci.errors import NameInvalid
from entrepot.web.api.paths import inner_path, with_slashes


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        (b"/api/v2.0/projects", "/api/v2.0/projects"),
        (b"/api/v2.0/projects/", "/api/v2.0/projects"),
        (b"/projects/library/repositories/a%252Fb/artifacts", "/projects/library/repositories/a%2Fb/artifacts"),
        (b"/projects/library/repositories/a%2Fb/artifacts", "/projects/library/repositories/a%2Fb/artifacts"),
        (b"/repositories/a%252fb%252fc", "/repositories/a%2Fb%2Fc"),
        (b"/repositories/a%2fb%252Fc", "/repositories/a%2Fb%2Fc"),
        (b"/robots/robot%24ci", "/robots/robot$ci"),
        (b"/users/%C3%A4", "/users/ä"),
        (b"/a%20b", "/a b"),
        (b"/tags/100%25", "/tags/100%"),
        (b"/", ""),
        (b"", ""),
    ],
)
def test_a_path_is_decoded_part_by_part(sent: bytes, path: str) -> None:
    """Slashes within a part stay encoded, once or twice as they came; everything else is decoded."""
    assert inner_path(sent) == path


@pytest.mark.parametrize(
    "sent",
    [
        b"/a/../b",
        b"/a/./b",
        b"/a/%2e%2e/b",
        b"/a%2F..%2Fb",
        b"/a%252F..%252Fb",
        b"/a%252F%252e%252e%252Fb",
        b"/..",
        b"/%00",
        b"/a%252F%2500",
        b"/%0d%0a",
        b"/a%5Cb",
        b"/%ff",
        b"/a%7f",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(sent: bytes) -> None:
    """However it is encoded, a path leads nowhere else and holds no control characters."""
    with pytest.raises(NameInvalid):
        inner_path(sent)


def test_a_part_is_a_name_again() -> None:
    """Handlers see slashes."""
    assert with_slashes("a%2Fb%2Fc") == "a/b/c"
