"""Errors and their answers."""

from pathlib import Path

from entrepot.metadata.errors import AnotherHost
from entrepot.oci.errors import ErrorCode
from entrepot.web.distribution.error_reference import error_classes, page
from entrepot.web.distribution.errors import STATUS_BY_CODE, render_error, status_of
from entrepot.web.http import Request
from tests.support.app import open_app

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "errors.md"


async def never() -> dict[str, object]:
    """Give no message: the request has no body."""
    return {"type": "http.disconnect"}


def test_every_code_has_a_status() -> None:
    """No code is missing from the table, so no error can fail to be answered."""
    assert set(STATUS_BY_CODE) == set(ErrorCode)


def test_every_error_is_a_client_or_server_error() -> None:
    """Each class of error has a status of its own or of its code."""
    kinds = list(error_classes())
    assert len(kinds) > 20
    assert all(400 <= status_of(kind) < 600 for kind in kinds)


async def test_a_registry_that_lost_its_folder_to_another_host_is_unavailable(tmp_path: Path) -> None:
    """Clients come back later; 500 would tell them that their request is at fault."""
    async with open_app(tmp_path) as app:
        scope = {"method": "GET", "raw_path": b"/v2/", "headers": [], "query_string": b""}
        answer = render_error(AnotherHost("the folder is in use by host b"), Request(scope, never), app.services)
    assert answer.status == 503
    assert b"host b" not in answer.body


def test_the_page_is_what_the_source_says() -> None:
    """The reference page is made from the table: `python -m entrepot.web.distribution.error_reference`."""
    assert PAGE.read_text() == page()
