"""The reference page of metrics names every metric of the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]

#: Fields of Harbor's API that begin like registry:2's metrics.
NO_METRICS = {"registry_url", "registry_storage_provider_name"}


def test_every_metric_is_in_the_reference() -> None:
    """A name in the source that looks like a metric is explained in docs/reference/metrics.md, and the other way."""
    name = re.compile(r'"((?:entrepot|registry)_[a-z_]+)"')
    sources = [path.read_text() for path in (ROOT / "src" / "entrepot").rglob("*.py")]
    used = {found for text in sources for found in name.findall(text)} - NO_METRICS
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    explained = {found.removesuffix("_total") for found in re.findall(r"`((?:entrepot|registry)_[a-z_]+)`", page)}
    explained -= {"registry_storage_cache"}
    assert {found.removesuffix("_total") for found in used} == explained
