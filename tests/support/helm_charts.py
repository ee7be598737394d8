"""Renders a chart by Helm's own library, as a program of its own: `helm_charts.py CHART`, values as JSON lines.

It runs apart from the tests because the library keeps its settings for the life of a process.
"""

from __future__ import annotations

import json
import sys

from helm_python import HelmError
from helm_python.chart import Chart, lint


def render(chart: str, values: str) -> dict[str, object]:
    """Lint the chart with these values, and render it; what Helm refuses is said instead."""
    given = json.loads(values)
    try:
        rendered = Chart.load(chart).render(given, name="reg", namespace="images")
    except HelmError as error:
        return {"refused": str(error)}
    return {"lint": lint(chart, given, strict=True, namespace="images"), "rendered": rendered}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(render(sys.argv[1], line)))
