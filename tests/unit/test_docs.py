"""What the documentation names exists: pages, headings, commands, options, routes, tests."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer import Context
from typer.main import get_command

from entrepot.cli.app import app
from entrepot.cli.reference import page
from entrepot.cli.serve import parser
from entrepot.config import load
from entrepot.config.schema.config import Config
from entrepot.web.account.endpoint import AccountPages
from entrepot.web.api.app import build_api
from entrepot.web.application import _FIXED, _REPOSITORY
from entrepot.web.login import session_routes
from entrepot.web.oidc.routes import ProviderPages
from entrepot.web.pages import style_route
from entrepot.web.reset_page import ResetPage
from entrepot.web.security_keys.page import key_page_routes
from entrepot.web.security_keys.sign_in import KeyStep
from entrepot.web.settings import WebSettings
from entrepot.web.start_page import start_routes
from entrepot.web.token.endpoint import PATHS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

FENCE = re.compile(r"^[ ]*```(\w*)\n(.*?)^[ ]*```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CALL = re.compile(r"(?:^|[\s/(`])entrepot[ ]+([a-z].*)")
ROUTE_ROW = re.compile(r"^\| ((?:`[A-Z]+`(?:, )?)+) \| `([^`]+)` \|", re.MULTILINE)
SHOWN_BY = re.compile(r"`((?:[\w-]+/)*\w+\.py)(?:::(\w+))?")
TEST_NAME = re.compile(r"`(tests/[a-z0-9_/]+\.py)(?:::([a-z0-9_]+))?`")

API_PATH = re.compile(r"(?:\b(GET|HEAD|POST|PUT|PATCH|DELETE) )?(?:https?://[a-z.]+)?(/api/v2\.0/[\w/{}.%-]*[\w}])")

#: Words of commands, and the options that each takes.
Commands = dict[tuple[str, ...], frozenset[str]]


def documents() -> list[Path]:
    """List the Markdown files of the project, new ones too."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md")
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in sorted(listing.split("\0")) if name and (path := ROOT / name).exists()]


def prose(text: str) -> str:
    """Give a page without its blocks of code, whose brackets are not links."""
    return FENCE.sub("", text)


def anchors(page: Path) -> set[str]:
    """List the anchors that a page's headings get."""
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text(encoding="utf-8")), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", LINK.sub("]", heading).lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """List the files and anchors of the project that a page links to."""
    for target in LINK.findall(prose(page.read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        if "://" not in target and not target.startswith("mailto:"):
            yield (page.parent / path).resolve() if path else page, anchor


def code(text: str) -> Iterator[str]:
    """List the lines of code of a page: those of its blocks, with continued lines joined, and code in its prose."""
    for language, block in FENCE.findall(text):
        if language in ("", "sh"):
            yield from block.replace("\\\n", " ").splitlines()
    yield from re.findall(r"`([^`\n]+)`", prose(text))


def commands() -> Commands:
    """List every command with its options."""
    found: Commands = {("serve",): frozenset(word for a in parser()._actions for word in a.option_strings)}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        inner = getattr(command, "commands", None)
        if inner is None:
            parameters = command.get_params(Context(command, info_name=" ".join(words)))
            found.setdefault(words, frozenset(o for p in parameters for o in (*p.opts, *p.secondary_opts)))
        for name, sub in (inner or {}).items():
            walk(sub, (*words, name))

    walk(get_command(app), ())
    return found


def misused(call: str, known: Commands) -> str | None:
    """Say what is wrong with the words after `entrepot`; None when there is such a command with such options."""
    words = re.split("[#|]", call, maxsplit=1)[0].split()
    wanted = next((key for key in known if tuple(words[: len(key)]) == key), None)
    if wanted is None:
        groups = {key[0] for key in known if len(key) > 1}
        return None if len(words) == 1 and words[0].strip("`.,)") in groups else f"no command: {call}"
    options = {word.split("=")[0] for word in words if word.startswith("--")} - {"--help"}
    return f"no options {sorted(options - known[wanted])}: {call}" if options - known[wanted] else None


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_page_and_a_heading(document: Path) -> None:
    """A relative link names a file that exists, and an anchor names one of its headings."""
    for target, anchor in links(document):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target}#{anchor}"


def test_every_page_can_be_reached_from_the_index() -> None:
    """Whoever starts at docs/index.md finds every page below docs."""
    seen, waiting = set[Path](), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page not in seen and page.suffix == ".md" and page.exists():
            seen.add(page)
            waiting += [target for target, _ in links(page)]
    assert set(DOCS.rglob("*.md")) - seen == set()


def test_every_command_in_the_documents_exists() -> None:
    """Code that calls entrepot names one of its commands, with options that it has."""
    known = commands()
    problems, calls = [], 0
    for document in documents():
        for line in code(document.read_text(encoding="utf-8")):
            for found in CALL.findall(line):
                calls += 1
                if problem := misused(found, known):
                    problems.append(f"{document.relative_to(ROOT)}: {problem}")
    assert calls > 30
    assert problems == []


@pytest.mark.parametrize("call", ["prune DIR", "project sell team", "serve --port 1", "config check --strict x.yml"])
def test_a_wrong_command_would_be_noticed(call: str) -> None:
    """The check above can fail."""
    assert misused(call, commands())


def test_the_page_of_commands_is_current() -> None:
    """docs/reference/commands.md is what `python -m entrepot.cli.reference` writes."""
    assert (DOCS / "reference" / "commands.md").read_text(encoding="utf-8") == page()


def routes() -> dict[str, set[str]]:
    """List the methods of every path, as the page of the API writes it."""
    of_repository = {
        "/v2/NAME/manifests/REF": _REPOSITORY.manifests,
        "/v2/NAME/blobs/DIGEST": _REPOSITORY.blobs,
        "/v2/NAME/blobs/uploads/": _REPOSITORY.uploads,
        "/v2/NAME/blobs/uploads/ID": _REPOSITORY.upload,
        "/v2/NAME/tags/list": _REPOSITORY.tags,
        "/v2/NAME/referrers/DIGEST": _REPOSITORY.referrers,
    }
    assert len(of_repository) == len(_REPOSITORY.__slots__)
    start = start_routes(has_accounts=True)
    found = {path: set(route.handlers) for path, route in {**_FIXED, **start, **of_repository}.items() if path != "/v2"}
    gate: Any = None  # nobody is served, the routes are listed
    unused: Any = SimpleNamespace(proxies=None)
    pages = ProviderPages(gate, lambda: gate).routes(["NAME"])
    signing_in = {**session_routes(gate, gate, None, KeyStep(unused, gate)), **key_page_routes(), **style_route()}
    signing_in |= AccountPages(unused).routes()
    for path, route in {**signing_in, **ResetPage(gate, lambda: gate).routes(), **pages}.items():
        found[path] = set(route.handlers)
    return found | {path: {"GET", "POST"} for path in PATHS}


def test_the_page_of_the_api_names_every_route() -> None:
    """docs/reference/http-api.md has exactly the paths and methods that are served."""
    named: dict[str, set[str]] = {}
    for methods, path in ROUTE_ROW.findall((DOCS / "reference" / "http-api.md").read_text(encoding="utf-8")):
        named.setdefault(path, set()).update(re.findall("[A-Z]+", methods))
    assert named == routes()


def test_every_test_in_the_documents_exists() -> None:
    """A promise names a test that is there."""
    named = {found for document in documents() for found in TEST_NAME.findall(document.read_text(encoding="utf-8"))}
    assert len(named) > 10
    for file, name in sorted(named):
        text = (ROOT / file).read_text(encoding="utf-8")
        functions = {n.name for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert not name or name in functions, f"{file}::{name}"


def test_what_is_said_to_be_shown_is_in_the_tests() -> None:
    """Each file and each test that the page of acceptance names is there; names may be cut with `...`."""
    text = (DOCS / "acceptance.md").read_text(encoding="utf-8")
    files = [path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("*.py")]
    for name, function in SHOWN_BY.findall(text):
        found = [file for file in files if f"/{file}".endswith(f"/{name}")]
        assert found or (ROOT / "src" / "entrepot" / name).exists(), name
        sources = [(ROOT / "tests" / file).read_text(encoding="utf-8") for file in found]
        assert any(f"def {function}" in source for source in sources) or not function, f"{name}::{function}"


def test_the_chinese_readme_has_the_same_commands_and_figures() -> None:
    """README.zh-CN.md says the same in the same blocks, and its table has the same numbers."""
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))

    def essence(text: str) -> tuple[list[str], list[list[str]]]:
        lines = [line.split("#")[0].rstrip() for _, block in FENCE.findall(text) for line in block.splitlines()]
        return lines, [re.findall(r"\d[\d.,]*", row) for row in text.splitlines() if row.startswith("|")]

    assert essence(english) == essence(chinese)


def configurations() -> Iterator[tuple[str, dict[str, Any]]]:
    """List the blocks of the documents that are configurations of the registry: all their keys are its own."""
    own = set(Config.model_fields)
    for document in documents():
        for language, block in FENCE.findall(document.read_text(encoding="utf-8")):
            found = yaml.safe_load(block) if language == "yaml" else None
            if isinstance(found, dict) and found.keys() <= own:
                yield str(document.relative_to(ROOT)), found


def test_every_configuration_in_the_documents_loads(tmp_path: Path) -> None:
    """With a storage where it names none, and for accounts where it sets them up: no problem and no unknown key."""
    checked = 0
    for name, found in configurations():
        file = tmp_path / "config.yml"
        storage = dict(found.get("storage", {}))
        if not storage.keys() & {"s3", "azure", "gcs"}:
            storage = {"filesystem": {"rootdirectory": str(tmp_path)}, **storage}
        file.write_text(yaml.safe_dump({"version": 0.1, **found, "storage": storage}))
        loaded = load(file, {})
        unknown = [warning for warning in loaded.warnings if "unknown" in warning]
        assert (loaded.problems, unknown) == ([], []), f"{name}: {found}"
        checked += 1
    assert checked > 15


def operations() -> dict[re.Pattern[str], set[str]]:
    """List the paths of the management API, as patterns, with their methods."""
    services: Any = SimpleNamespace(web=SimpleNamespace(settings=WebSettings()))  # it is described, not asked
    documented = build_api(services)
    paths = {path: {method.upper() for method in found} for path, found in documented.openapi()["paths"].items()}
    paths["/api/v2.0/openapi.json"] = {"GET"}
    return {re.compile(re.sub(r"\\{\w+\\}", r"[^/]+", re.escape(path))): methods for path, methods in paths.items()}


def test_every_path_of_the_api_in_the_documents_exists() -> None:
    """Where a method is named it is one that the path has."""
    known, named = operations(), 0
    for document in documents():
        for method, path in API_PATH.findall(document.read_text(encoding="utf-8")):
            named += 1
            methods = set[str]().union(*(found for pattern, found in known.items() if pattern.fullmatch(path)))
            assert methods, f"{document.relative_to(ROOT)}: there is no {path}"
            assert not method or method in methods, f"{document.relative_to(ROOT)}: {method} {path}"
    assert named > 20
