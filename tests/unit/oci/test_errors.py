"""Errors carry a code, a message that helps, and data."""

import inspect
import re

import pytest

from entrepot.oci import errors
from entrepot.oci.errors import (
    BlobInUse,
    BlobRangeInvalid,
    BlobUnknown,
    ErrorCode,
    ManifestBlobUnknown,
    RangeInvalid,
    RegistryError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UploadRangeInvalid,
)
from entrepot.oci.scope import Scope

CLASSES = [thing for _, thing in inspect.getmembers(errors, inspect.isclass) if issubclass(thing, RegistryError)]


def test_the_first_docstring_line_is_the_default_message() -> None:
    """Without a message of its own an error says what its class means."""
    assert BlobUnknown().message == "Blob unknown to registry"
    assert str(BlobUnknown()) == "Blob unknown to registry"


def test_without_docstrings_the_code_is_the_message() -> None:
    """Under `python -OO` an error still says something."""
    bare = type("Bare", (RegistryError,), {"__doc__": None, "code": ErrorCode.DENIED})
    assert bare().message == "DENIED"


def test_message_and_detail_are_kept() -> None:
    """What the raiser says reaches the client."""
    error = ManifestBlobUnknown("push these first", detail=[{"digest": "sha256:1"}])
    assert (error.message, error.detail) == ("push these first", [{"digest": "sha256:1"}])


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not RegistryError])
def test_every_class_is_drawn_in_the_tree_with_its_code(kind: type[RegistryError]) -> None:
    """The tree at the top of the module names each class, and each code as it is."""
    assert re.search(rf"── {kind.__name__} +{kind.code}\b", errors.__doc__ or "")


def test_the_tree_draws_no_class_that_is_gone() -> None:
    """The tree names nothing but classes of the module."""
    drawn = set(re.findall(r"── (\w+)", errors.__doc__ or ""))
    assert drawn == {kind.__name__ for kind in CLASSES} - {"RegistryError"}


def test_codes_are_spelled_like_their_names() -> None:
    """A code's value is what the specification writes."""
    assert all(code.name == code.value for code in ErrorCode)


def test_both_range_errors_are_range_errors_with_their_data() -> None:
    """An upload's error knows the offset, a blob's the size; the header alone knows neither."""
    upload, blob = UploadRangeInvalid(7), BlobRangeInvalid(9)
    assert isinstance(upload, RangeInvalid)
    assert isinstance(blob, RangeInvalid)
    assert (upload.offset, upload.detail) == (7, {"offset": 7})
    assert (blob.size, blob.detail) == (9, {"size": 9})
    assert (UploadRangeInvalid().offset, UploadRangeInvalid().detail) == (None, None)
    assert UploadRangeInvalid(0).detail == {"offset": 0}


def test_busy_errors_say_when_to_come_back() -> None:
    """Retry-After comes from the error."""
    assert TooManyRequests(30).retry_after == 30
    assert Unavailable(5, "restarting").retry_after == 5
    assert Unavailable(5, "restarting").message == "restarting"


def test_a_blob_in_use_counts_its_references() -> None:
    """The client learns how many manifests hold the blob."""
    assert BlobInUse(3).detail == {"references": 3}
    assert BlobInUse(3).references == 3


def test_unauthorized_carries_the_challenge() -> None:
    """The web layer gets scopes and error for the challenge it writes."""
    scope = Scope("repository", "a/b", ("pull",))
    error = Unauthorized(scopes=(scope,), error="insufficient_scope")
    assert (error.scopes, error.error, error.message) == ((scope,), "insufficient_scope", "Authentication required")
    assert Unauthorized().scopes == ()
