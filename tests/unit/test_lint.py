"""Our own lint rules find what they exist for, and let honest code pass."""

from pathlib import PurePosixPath

import pytest

from tools.lint.__main__ import look_at, without_exceptions
from tools.lint.model import parse

PRODUCT = "src/entrepot/registry/example.py"
CASES = [
    ("no-code-from-data", PRODUCT, "import pickle"),
    ("no-code-from-data", PRODUCT, "from pickle import loads"),
    ("no-code-from-data", PRODUCT, "import yaml\nyaml.load(text, Loader=L)"),
    ("no-code-from-data", PRODUCT, "from yaml import unsafe_load as read\nread(text)"),
    ("no-code-from-data", PRODUCT, "eval(text)"),
    ("no-code-from-data", "tests/unit/test_x.py", "exec(text)"),
    ("no-string-built-sql", PRODUCT, "run(f'SELECT name FROM tags WHERE id = {x}')"),
    ("no-string-built-sql", PRODUCT, "run('DELETE FROM tags WHERE id = %s' % x)"),
    ("no-string-built-sql", PRODUCT, "run('update tags set name = ' + x)"),
    ("no-string-built-sql", PRODUCT, "run('INSERT INTO tags VALUES ({})'.format(x))"),
    ("constant-time-compare", PRODUCT, "ok = given_password == expected"),
    ("constant-time-compare", PRODUCT, "ok = a.signature != b.signature"),
    ("constant-time-compare", PRODUCT, "ok = row.token_hash == hashed"),
    ("no-sleep", PRODUCT, "import time\ntime.sleep(1)"),
    ("no-sleep", PRODUCT, "from time import sleep as wait\nwait(1)"),
    ("one-way-out", PRODUCT, "import urllib.request"),
    ("one-way-out", PRODUCT, "from http import client"),
    ("one-way-out", "src/entrepot/web/x.py", "from aiohttp import ClientSession"),
    ("test-docstring", "tests/unit/test_x.py", "async def test_x():\n    assert f()"),
]
HONEST = [
    (PRODUCT, "import yaml\nyaml.safe_load(text)"),
    (PRODUCT, "run('SELECT name FROM tags WHERE id = :id', id=x)"),
    (PRODUCT, "say(f'Select {x} or update {y} first')"),
    (PRODUCT, "import hmac\nok = hmac.compare_digest(given_password, password)"),
    (PRODUCT, "if token == '':\n    pass"),
    (PRODUCT, "query.where(row.c.token_hash == bindparam('token_hash'))"),
    (PRODUCT, "if scope.token_type == TOKEN or kind == Kind.TOKEN:\n    pass"),
    (PRODUCT, "import asyncio\nasync def f():\n    await asyncio.sleep(1)"),
    (PRODUCT, "from http import HTTPStatus\nfrom urllib.parse import quote"),
    ("src/entrepot/cli/ping.py", "import http.client"),
    ("tests/unit/test_x.py", "import time\ndef test_x():\n    'Shows x.'\n    time.sleep(1)"),
    ("tests/unit/test_x.py", "def helper_test():\n    pass"),
]


def rules_broken(path: str, text: str) -> set[str]:
    """Name the rules that a file with this text breaks."""
    return {finding.rule for finding in look_at(parse(PurePosixPath(path), text))}


@pytest.mark.parametrize(("rule", "path", "text"), CASES)
def test_a_rule_finds_its_fault(rule: str, path: str, text: str) -> None:
    """Each rule reports the fault it was made for, and no other rule does."""
    assert rules_broken(path, text) == {rule}


@pytest.mark.parametrize(("path", "text"), HONEST)
def test_honest_code_passes(path: str, text: str) -> None:
    """The right way to do the same is not reported."""
    assert rules_broken(path, text) == set()


def test_an_exception_covers_its_file_alone() -> None:
    """An exception silences one rule in one file, and is itself reported once nothing needs it."""
    findings = [*look_at(parse(PurePosixPath(PRODUCT), "import pickle\neval(text)"))]
    covered = ("no-code-from-data", PRODUCT)
    assert without_exceptions(findings, {covered: "reason"}) == []
    left = without_exceptions(findings, {covered: "reason", ("no-sleep", PRODUCT): "an old reason"})
    assert [(finding.rule, finding.message) for finding in left] == [
        ("no-sleep", "needs no exception any more; take it out")
    ]
