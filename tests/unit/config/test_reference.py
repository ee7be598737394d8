"""The reference page is made from the schema."""

from collections.abc import Iterator
from pathlib import Path

from entrepot.config import Config
from entrepot.config.reference import attribute_docs, documentation, render_reference
from entrepot.config.section import Entries, Items, Section, Shape, keys
from entrepot.config.support import RULES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "configuration.md"


def sections(section: type[Section] = Config) -> Iterator[type[Section]]:
    """Every section below one, and itself."""
    yield section
    for key in keys(section).values():
        shape: Shape = key.shape
        while isinstance(shape, Items | Entries):
            shape = shape.of
        if isinstance(shape, type):
            yield from sections(shape)


def test_the_page_is_up_to_date() -> None:
    """Run `entrepot config reference > docs/reference/configuration.md` after a change of the schema."""
    assert PAGE.read_text(encoding="utf-8") == render_reference()


def test_every_key_is_documented() -> None:
    """Each key and each section says what it is for, in a sentence."""
    for section in sections():
        texts = attribute_docs(section)
        assert documentation(section).endswith(".")
        for key in keys(section).values():
            assert texts.get(key.attribute, "").endswith("."), f"{section.__name__}.{key.name}"


def test_the_page_names_every_rule_and_key() -> None:
    """Nothing that stops a start is a secret."""
    page = render_reference()
    for rule in RULES:
        assert rule.message.replace("|", "\\|") in page
    for name in ("`http.tls.minimumtls`", "`REGISTRY_HEALTH_FILECHECKERS_0_FILE`", "`access.token.expiration`"):
        assert name in page
    assert "REGISTRY_STORAGE_AZURE_MAX_RETRIES" not in page
