"""The rules. A new one is a class here, a line in `RULES` and a test in `tests/unit/test_lint.py`."""

import ast
import re
from collections.abc import Iterator

from tools.lint.model import Rule, Source

_SECRET = re.compile(r"(?:^|_)(password|secret|token|signature|mac|hmac|token_hash|api_key|cookie)s?$")
_NOT_A_SECRET = re.compile(r"^(type|kind|media|is|has|next|continuation)_")
_SQL = re.compile(
    r"^\s*(?:SELECT\s.+\sFROM|INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM)\b",
    re.IGNORECASE | re.DOTALL,
)


class NoCodeFromData:
    """Nothing that came from outside may turn into code.

    Quay kept the state of a hash as a pickle in the row of an upload; whoever could write the row ran code in the
    server (CVE-2026-32590). Loading YAML with tags and calling `eval` are the same door.
    """

    name = "no-code-from-data"
    _modules = frozenset({"pickle", "cPickle", "dill", "shelve", "marshal", "jsonpickle"})
    _calls = frozenset({"eval", "exec", "compile", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"})

    def check(self, source: Source) -> Iterator[tuple[int, str]]:
        """Find such imports anywhere and such calls."""
        for line, module in _imported_modules(source):
            if module.split(".")[0] in self._modules:
                yield line, f"{module} turns data into code; write JSON"
        for call, name in _calls(source):
            if name in self._calls:
                yield call.lineno, f"{name}() turns data into code; use json or yaml.safe_load"


class NoStringBuiltSql:
    """SQL is built by SQLAlchemy or written down whole, never glued together.

    Harbor had SQL injections in quotas, user groups and scan logs (CVE-2019-19026, CVE-2019-19029, CVE-2024-22261).
    """

    name = "no-string-built-sql"

    def check(self, source: Source) -> Iterator[tuple[int, str]]:
        """Find SQL statements that are f-strings, `%`, `+` or `.format` of something, outside tests."""
        if source.path.parts[0] == "tests":
            return
        for node in ast.walk(source.tree):
            if isinstance(node, ast.expr) and _SQL.match(_glued_text(node)):
                yield node.lineno, "SQL glued together from strings; use the query builder or bound parameters"


class SecretsComparedInConstantTime:
    """Two secrets are compared by `hmac.compare_digest`.

    Harbor compared the secret of its job service with `==`, twice (CVE-2023-20902 and again in 2026): the time tells
    how much matched.
    """

    name = "constant-time-compare"

    def check(self, source: Source) -> Iterator[tuple[int, str]]:
        """Find `==` and `!=` between a value with a secret's name and anything but a constant."""
        if not source.is_product:
            return
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                sides = (node.left, *node.comparators)
                if any(map(_names_a_secret, sides)) and not any(map(_is_plain, sides)):
                    yield node.lineno, "compare secrets with hmac.compare_digest"


class NoSleepInProduct:
    """The product never blocks a thread to wait; it waits for the thing itself, or with asyncio and a bound.

    pulp_container slept in one-second steps inside a manifest push until a task was done.
    """

    name = "no-sleep"

    def check(self, source: Source) -> Iterator[tuple[int, str]]:
        """Find `time.sleep` under src/."""
        if not source.is_product:
            return
        for call, name in _calls(source):
            if name == "time.sleep":
                yield call.lineno, "time.sleep blocks a thread; wait on an event, a condition or a lock with a time-out"


class OneWayOut:
    """Only the guarded client and the places listed here may talk HTTP to somebody else.

    Quay's proxy cache, redirects, mirroring and log export were each a way to make the server ask for what it should
    not (CVE-2026-32591, CVE-2026-2376): every new door needs the same guards, so there is one.
    """

    name = "one-way-out"
    _clients = frozenset({"aiohttp", "httpx", "requests", "urllib3", "http.client", "urllib.request", "pycurl"})
    #: Module paths below src/entrepot that may: the guarded client, and commands that ask the registry itself.
    _allowed = ("outbound/", "cli/")

    def check(self, source: Source) -> Iterator[tuple[int, str]]:
        """Find imports of HTTP clients outside the allowed modules of the product."""
        inside = "/".join(source.path.parts[2:])
        if not source.is_product or inside.startswith(self._allowed):
            return
        for line, module in _imported_modules(source):
            if any(module == client or module.startswith(f"{client}.") for client in self._clients):
                yield line, f"{module} imported outside {', '.join(self._allowed)}"


class TestsSayWhatTheyShow:
    """Every test opens with a sentence that says what it shows, so that a failure reads as a broken promise."""

    name = "test-docstring"

    def check(self, source: Source) -> Iterator[tuple[int, str]]:
        """Find test functions without a docstring."""
        if not source.is_test:
            return
        for function in _functions(source):
            if function.name.startswith("test_") and not ast.get_docstring(function):
                yield function.lineno, f"{function.name} needs a sentence that says what it shows"


RULES: tuple[Rule, ...] = (
    NoCodeFromData(),
    NoStringBuiltSql(),
    SecretsComparedInConstantTime(),
    NoSleepInProduct(),
    OneWayOut(),
    TestsSayWhatTheyShow(),
)


def _functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _calls(source: Source) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and (name := source.name_of(node.func)):
            yield node, name


def _imported_modules(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source.tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield node.lineno, module
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
            case _:
                pass


def _glued_text(node: ast.expr) -> str:
    match node:
        case ast.JoinedStr(values=values) if any(isinstance(part, ast.FormattedValue) for part in values):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "?" for part in values)
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod() | ast.Add()):
            return text + "?"
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
            return text
        case _:
            return ""


def _names_a_secret(node: ast.expr) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            lowered = name.lower()
            return bool(_SECRET.search(lowered)) and not _NOT_A_SECRET.match(lowered)
        case _:
            return False


def _is_plain(node: ast.expr) -> bool:
    """Say whether a side of a comparison is no secret for sure: a literal, CONSTANT, enum member or bound value."""
    match node:
        case ast.Call(func=ast.Name(id="bindparam")):
            return True  # the database compares
        case ast.Constant():
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.isupper()
        case _:
            return False
