"""Media types are told apart."""

import pytest

from entrepot.oci import media_type as mt


@pytest.mark.parametrize("media_type", [mt.OCI_INDEX, mt.DOCKER_MANIFEST_LIST])
def test_indexes(media_type: str) -> None:
    """Index and manifest list are indexes."""
    assert mt.is_index(media_type)


@pytest.mark.parametrize("media_type", [mt.OCI_MANIFEST, mt.DOCKER_MANIFEST, mt.OCI_ARTIFACT, mt.OCI_LAYER])
def test_others_are_no_indexes(media_type: str) -> None:
    """Images, artifacts and layers are none."""
    assert not mt.is_index(media_type)


def test_every_nondistributable_layer_type_is_known() -> None:
    """The deprecated OCI types, all three, and Docker's foreign layers may be missing; others may not."""
    types = [value for name, value in vars(mt).items() if "NONDISTRIBUTABLE_LAYER" in name or "FOREIGN_LAYER" in name]
    assert len(types) == 5
    assert all(map(mt.is_nondistributable, types))
    assert not mt.is_nondistributable(mt.OCI_LAYER)


@pytest.mark.parametrize("text", [mt.OCI_MANIFEST, "text/plain; charset=utf-8", "a/b", "application/vnd.x.y_z+json"])
def test_well_formed(text: str) -> None:
    """Types with and without parameters are well-formed."""
    assert mt.is_well_formed(text)


@pytest.mark.parametrize("text", ["", "a", "a/", "/b", "a/b/c", "a/b\n", "a b/c", "é/b", "a/" + "b" * 128, "a/b;\x00"])
def test_malformed(text: str) -> None:
    """Whatever could break a header or a database column is not."""
    assert not mt.is_well_formed(text)


def test_the_essence_has_no_parameters_and_no_capitals() -> None:
    """Content-Types compare by type and subtype."""
    assert mt.essence(" Application/JSON ; charset=utf-8") == "application/json"
