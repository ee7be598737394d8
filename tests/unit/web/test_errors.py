"""Errors and their answers."""

from pathlib import Path

from entrepot.oci.errors import ErrorCode
from entrepot.web.distribution.error_reference import error_classes, page
from entrepot.web.distribution.errors import STATUS_BY_CODE, status_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "errors.md"


def test_every_code_has_a_status() -> None:
    """No code is missing from the table, so no error can fail to be answered."""
    assert set(STATUS_BY_CODE) == set(ErrorCode)


def test_every_error_is_a_client_or_server_error() -> None:
    """Each class of error has a status of its own or of its code."""
    kinds = list(error_classes())
    assert len(kinds) > 20
    assert all(400 <= status_of(kind) < 600 for kind in kinds)


def test_the_page_is_what_the_source_says() -> None:
    """The reference page is made from the table: `python -m entrepot.web.distribution.error_reference`."""
    assert PAGE.read_text() == page()
