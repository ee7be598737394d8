"""`/` and `/ui/`: a browser is led to a page for people; everybody else gets what registry:2 answers."""

from __future__ import annotations

import pytest

from tests.http.transport import AsgiClient

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_a_browser_is_led_to_the_page(client: AsgiClient) -> None:
    """By an answer that says what it follows, and that nobody keeps."""
    answer = await client.get("/", headers=BROWSER)
    assert (answer.status, answer["location"]) == (302, "/ui/")
    assert answer["vary"] == "accept"


@pytest.mark.parametrize("accepted", [{}, {"Accept": "*/*"}, {"Accept": "application/json"}])
async def test_others_get_an_empty_answer(client: AsgiClient, accepted: dict[str, str]) -> None:
    """Load balancers, clients and whoever asks with HEAD."""
    for method in ("GET", "HEAD"):
        answer = await client.request(method, "/", headers=accepted)
        assert (answer.status, answer.body) == (200, b"")
    assert (await client.request("HEAD", "/", headers=BROWSER)).status == 200


@pytest.mark.parametrize(("language", "says"), [("en", "container images"), ("zh-CN,zh;q=0.9,en;q=0.8", "容器镜像")])
async def test_the_page_says_how_to_begin(client: AsgiClient, language: str, says: str) -> None:
    """What this is, how a client signs in, in the browser's language, under a policy without scripts."""
    answer = await client.get("/ui/", headers={**BROWSER, "Accept-Language": language})
    text = answer.body.decode()
    assert answer.status == 200
    assert says in text
    assert "docker login" in text
    assert "script" not in text
    policy = answer["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


async def test_a_host_that_is_none_is_not_repeated(client: AsgiClient) -> None:
    """What somebody sends as the name of the host does not come back as part of the page."""
    answer = await client.get("/ui/", headers={**BROWSER, "Host": 'x"><b>'})
    assert b"<b>" not in answer.body
