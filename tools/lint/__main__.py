"""Run every rule over every tracked Python file; exit with 1 when something was found."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from tools.lint.exceptions import EXCEPTIONS
from tools.lint.model import Finding, Source, parse
from tools.lint.rules import RULES

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Print the findings and how many files were read."""
    sources = [parse(path, (ROOT / path).read_text(encoding="utf-8")) for path in _files()]
    findings = without_exceptions([finding for source in sources for finding in look_at(source)], EXCEPTIONS)
    for finding in findings:
        print(finding)
    print(f"{len(sources)} files, {len(RULES)} rules, {len(EXCEPTIONS)} exceptions, {len(findings)} findings")
    return 1 if findings else 0


def without_exceptions(findings: list[Finding], exceptions: Mapping[tuple[str, str], str]) -> list[Finding]:
    """Leave out what is meant, and report every exception that nothing needs."""
    used = {(finding.rule, str(finding.path)) for finding in findings}
    needless = [
        Finding(path=PurePosixPath(path), line=1, rule=rule, message="needs no exception any more; take it out")
        for rule, path in exceptions
        if (rule, path) not in used
    ]
    return [finding for finding in findings if (finding.rule, str(finding.path)) not in exceptions] + needless


def look_at(source: Source) -> Iterator[Finding]:
    """Ask every rule about one file."""
    for rule in RULES:
        for line, message in rule.check(source):
            yield Finding(path=source.path, line=line, rule=rule.name, message=message)


def _files() -> Iterator[PurePosixPath]:
    """List the Python files that are in git or about to be, so that virtual environments and data never count."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.py"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in sorted(set(filter(None, listing.stdout.split("\0")))):
        if (ROOT / name).is_file():
            yield PurePosixPath(name)


if __name__ == "__main__":
    sys.exit(main())
