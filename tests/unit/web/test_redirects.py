"""Where a browser goes on to after a sign-in (CVE-2024-22244)."""

from __future__ import annotations

import pytest

from entrepot.web.oidc.redirects import RedirectRefused, local_path

LOCAL = [
    "/",
    "/projects",
    "/harbor/projects/1/repositories?page=2&q=a%20b#top",
    "/a/b/c.d~e_f-g",
    "/v2/%61",
    "/a//b",
    "/x?next=https://evil.test/",
]
ELSEWHERE = [
    "",
    "projects",
    "https://evil.test/",
    "https:evil.test",
    "http:/evil.test",
    "//evil.test",
    "///evil.test",
    "/\\evil.test",
    "\\/evil.test",
    "\\\\evil.test",
    "/%2fevil.test",
    "/%2Fevil.test",
    "/%5cevil.test",
    "/%5Cevil.test",
    "/a%5cb",
    "/%0d%0aset-cookie:a=b",
    "/%0aevil",
    "/a%00",
    "/a%7f",
    "/a\r\nset-cookie: a=b",
    "/a\tb",
    "/\t/evil.test",
    "/ /evil.test",
    " /a",
    "/a b",
    "/a%",
    "/a%2",
    "/a%zz",
    "/é",
    '/a"b',
    "/a<b>",
    "/a`b",
    "javascript:alert(1)",
    "data:text/html,x",
    "/" + "a" * 2048,
]


@pytest.mark.parametrize("path", LOCAL)
def test_paths_of_this_registry_are_kept(path: str) -> None:
    """A plain path, with query and fragment, is where one goes on to."""
    assert local_path(path) == path


@pytest.mark.parametrize("text", ELSEWHERE)
def test_nothing_else_is_followed(text: str) -> None:
    """What a browser could read as another site, or a header, is refused."""
    with pytest.raises(RedirectRefused, match="a path of this registry"):
        local_path(text)
