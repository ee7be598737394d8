"""How `entrepot usage` says things to people: sentences, and the columns of its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import typer

from entrepot.cli.management.output import Column, ago, digest
from entrepot.telemetry.words import counted, spelt


def tell(told: Mapping[str, Any]) -> None:
    """Say what deleting something would free."""
    disk = told["disk"]
    if disk is not None:
        typer.echo(f"{spelt(disk['bytes'])} would be free on the disk; {spelt(disk['shared_bytes'])} stay in use.")
    used = sum(one["bytes"] for one in told["projects"])
    of = "the project" if len(told["projects"]) == 1 else "the projects"
    typer.echo(f"{spelt(used)} less would count for the quota of {of}.")
    also = f", {told['followers']:,} of them because they belong to others" if told["followers"] else ""
    typer.echo(f"{counted(told['manifests'], 'manifest')} would go{also}.")
    for one in told["kept"]:
        typer.echo(f"{one['what']} stays: {one['reason']}")
    if told["more_kept"]:
        typer.echo("More would stay; ask about less at a time.")


def disk_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return how full the disk is, and what an analysis found, if there was one."""
    disk = found["disk"]
    rows = [_row("disk", disk["total_bytes"]), _row("free", disk["free_bytes"])]
    if found["analysis"] is None:
        return rows
    return [
        *rows,
        _row("stored for images", found["stored_bytes"], counted(found["blobs"], "blob")),
        _row("logical", found["logical_bytes"], counted(found["manifests"], "manifest")),
        _row("in the trash only", found["trash_bytes"]),
        _row("waiting for collection", found["waiting_bytes"]),
        _row("lost", found["lost_bytes"]),
    ]


def _row(what: str, size: int, more: str = "") -> dict[str, Any]:
    return {"what": what, "bytes": size, "": more}


def duplicates(found: Mapping[str, Any]) -> str:
    """Say how much of layers is in others."""
    not_seen = "".join(f" {count:,} were not looked into: {why}." for why, count in found["not_looked_into"].items())
    layers = counted(found["layers"], "layer")
    return (
        f"About {spelt(found['duplicate_bytes'])} of {spelt(found['layer_bytes'])} in {layers} are "
        f"in other layers too, as seen {ago(found['finished_at'])}.{not_seen}"
    )


def foretold(told: Mapping[str, Any], what: str) -> str:
    """Say when something is full."""
    used = f"{what} uses {spelt(told['used_bytes'])}"
    if told["limit_bytes"] is None:
        return f"{used}, and has no limit."
    used = f"{used} of {spelt(told['limit_bytes'])}"
    if told["outlook"] == "full":
        return f"{used}: it is full."
    if told["growth"] is None:
        known = counted(told["days_known"], "day")
        return f"{used}. There is not enough history: {known} of {told['days_needed']} known."
    return f"{used}. {_growing(told)}"


def _growing(told: Mapping[str, Any]) -> str:
    growth = told["growth"]
    rate = f"It grows by {_a_day(growth['bytes_a_day'])} ({_a_day(growth['lowest'])} to {_a_day(growth['highest'])})."
    if told["full_on"] is None:
        soonest = (
            "" if told["earliest"] is None else f" At the fastest that is likely, it is full on {told['earliest']}."
        )
        return f"{rate} It will not be full within ten years at this rate.{soonest}"
    latest = f"and {told['latest']}" if told["latest"] else "and never"
    return f"{rate} It will be full on {told['full_on']}, between {told['earliest']} {latest}."


def _a_day(growth: float) -> str:
    return f"{'-' if growth < 0 else ''}{spelt(round(abs(growth)))} a day"


def _in(place: str, name: str) -> Column:
    """Show bytes that lie one level down, and nothing where they are not known."""

    def column(entry: Mapping[str, Any]) -> str:
        value = None if entry[place] is None else entry[place][name]
        return "" if value is None else spelt(value)

    return column


def _sums(place: str) -> dict[str, Column]:
    return {name: _in(place, f"{name}_bytes") for name in ("logical", "stored", "own", "unique")}


PROJECTS: Final[dict[str, Column]] = {
    "project": "name",
    "used": _in("now", "used_bytes"),
    **_sums("analysed"),
    "trash": _in("analysed", "trash_bytes"),
    "artifacts": lambda entry: entry["now"]["manifests"],
}
REPOSITORIES: Final[dict[str, Column]] = {"repository": "name", **_sums("analysed")}
TAGS: Final[dict[str, Column]] = {"tag": "name", **_sums("sizes"), "digest": digest("digest")}
IMAGES: Final[dict[str, Column]] = {
    "repository": "repository",
    "tags": "tags",
    **_sums("sizes"),
    "digest": digest("digest"),
}


def _bytes(name: str) -> Column:
    return lambda entry: "" if entry[name] is None else spelt(entry[name])


DAYS: Final[dict[str, Column]] = {
    "day": "day",
    "used": _bytes("used_bytes"),
    "logical": _bytes("logical_bytes"),
    "stored": _bytes("stored_bytes"),
    "artifacts": "manifests",
}
DISK_DAYS: Final[dict[str, Column]] = {
    "day": "day",
    "disk": _bytes("total_bytes"),
    "used": _bytes("used_bytes"),
    "free": _bytes("free_bytes"),
    "stored for images": _bytes("stored_bytes"),
}
PAIRS: Final[dict[str, Column]] = {
    "layer": digest("digest"),
    "is like": digest("like"),
    "size": _bytes("bytes"),
    "share": lambda pair: f"{pair['share']:.0%}",
    "duplicate": _bytes("duplicate_bytes"),
}
LAYERS: Final[dict[str, Column]] = {
    "digest": digest("digest"),
    "size": lambda entry: spelt(entry["bytes"]),
    "repositories": "repositories",
    "manifests": "manifests",
}
