"""Writes docs/reference/configuration.md from the schema, so that no key can be undocumented or documented wrongly."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from entrepot.config.durations import format_duration
from entrepot.config.schema import Config
from entrepot.config.schema.middleware import STORAGE_MIDDLEWARE
from entrepot.config.section import Choice, Entries, Items, Key, Leaf, Section, Shape, keys
from entrepot.config.support import RULES, Severity

PREAMBLE = """\
# Configuration reference

<!-- Made by `entrepot config reference`; a test holds it against the source. Do not edit by hand. -->

Entrepot reads the `config.yml` of registry:2 and registry:3, and obeys the same `REGISTRY_*` variables. A few keys are
our own; their description says so. `entrepot config check FILE` says everything about a file before a start, and
`entrepot config show FILE` what is in force, with secrets masked.

## Where the configuration comes from

1. The command line: `--listen`, `--data` (the folder, `storage.filesystem.rootdirectory`) and `--workers`.
2. Variables whose name begins with `REGISTRY_`.
3. The file that is the argument of `entrepot serve`, or else the one that `REGISTRY_CONFIGURATION_PATH` names.

What comes first counts.

**With a file**, exactly what it says counts, as in registry:2: without `auth` the registry is open to everybody (a
warning says so), without `storage.delete.enabled` nobody can delete, without `http.addr` it listens on port 5000 of all
addresses, and proxies in private networks are believed.

**Without a file**, the registry listens on `127.0.0.1:5000`, keeps its data in `./data`, has an account `admin`, shows
nothing to strangers, allows deletes, and believes proxies on the same machine only; at
an address that others reach, as in a container, also those in private networks about scheme and host.

## Variables

`REGISTRY_A_B_C=value` sets key `c` of section `b` of section `a`. The value is read as YAML: `true`, `[a, b]`,
`{k: v}`; put it in quotes, within the variable, when YAML would misread it. Variables are taken in sorted order.

- Where Go's name of a field differs from the key, both work; the tables show Go's name.
- In maps (`storage`, `auth`, `log.fields`, `http.headers`) names match in any case, and a new one is written in lower
  case.
- `REGISTRY_STORAGE=filesystem` and `REGISTRY_AUTH=htpasswd` pick a type, with no parameters, in place of the whole
  section of the file. Naming a second type in another way is an error.
- A number in a name is an index of a list; the index that is one too high adds an entry. A whole list can be given as
  one value.
- Keys below `storage.maintenance` can be set when the file has that section, which registry:2 passes over.
- A variable that names nothing is ignored, with a warning. `version` cannot be set by a variable, nor can keys that
  have an underscore.

## Values

| Kind | Written as |
|---|---|
| true or false | `true`, `false`, `yes`, `no`, `on`, `off` |
| whole number | `5000`, `0x1f`, `017` (octal) |
| duration | `500ms`, `30s`, `1h30m`; units `ns`, `us`, `ms`, `s`, `m`, `h`; a number without a unit means nanoseconds |
| size | `50GiB`, `500MB`, or a number of bytes; units `B`, `kB` to `TB` (1000), `KiB` to `TiB` (1024) |
| text, URL, secret | as it is; secrets are never shown again |
| list, map | `[a, b]`, `{k: v}`, or one entry a line |

A key without a value has its default. Unknown keys are ignored, with a warning; a wrong kind of value is an error.

## What this version does not do

The first group stops the start, since going on without it would be unsafe: bytes in the wrong place, events lost, a
rule that does not hold. The second is ignored with a warning.

"""

_ROW = "| {} |\n"


def render_reference() -> str:
    """The whole page, in Markdown."""
    sections = "".join(_render_top(key) for key in keys(Config).values())
    options = "".join(_render_options(section) for section in STORAGE_MIDDLEWARE.values())
    return f"{PREAMBLE}{_render_rules()}\n## Keys\n{sections}\n## Options of `middleware.storage`\n{options}"


def _render_options(section: type[Section]) -> str:
    rows = [row[:3] + row[4:] for row in _rows(section, "options", "")]
    return f"\n{documentation(section)}\n\n" + _table(["Key", "Kind", "Default", "Meaning"], rows)


def _render_rules() -> str:
    rows = [
        [f"`{rule.key}`", rule.when, rule.severity.value, rule.message]
        for severity in Severity
        for rule in RULES
        if rule.severity is severity
    ]
    return _table(["Key", "When", "What happens", "Message"], rows)


def _render_top(key: Key) -> str:
    if isinstance(key.shape, type):
        text = documentation(key.shape)
        rows = list(_rows(key.shape, key.name, f"REGISTRY_{key.variable}"))
    else:
        text = ""
        rows = [_row(Config, key, key.name, "" if key.name == "version" else f"REGISTRY_{key.variable}")]
    parts = [f"### `{key.name}`", text, _table(["Key", "Kind", "Default", "Variable", "Meaning"], rows)]
    return "\n" + "\n\n".join(part for part in parts if part)


def documentation(section: type[Section]) -> str:
    """The docstring of a section, on one line."""
    return " ".join(inspect.cleandoc(section.__doc__ or "").split())


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(_ROW.format(" | ".join(line)) for line in lines)


def _rows(section: type[Section], path: str, variable: str) -> Iterator[list[str]]:
    if issubclass(section, Choice) and path:
        yield [f"`{path}`", section.noun, "", _code(variable), f"A {section.noun} by its bare name"]
    for key in keys(section).values():
        place = f"{path}.{key.name}"
        word = "" if "_" in key.name or not variable else f"{variable}_{key.variable}"
        yield from _rows_of(section, key, place, word)


def _rows_of(section: type[Section], key: Key, path: str, variable: str) -> Iterator[list[str]]:
    shape = key.shape
    if isinstance(shape, type):
        if not keys(shape):
            yield [f"`{path}`", "section", "", _code(variable), _meaning(section, key)]
        yield from _rows(shape, path, variable)
    elif isinstance(shape, Items) and isinstance(shape.of, type):
        yield [f"`{path}`", "list", "`[]`", _code(variable), _meaning(section, key)]
        yield from _rows(shape.of, f"{path}[]", variable and f"{variable}_0")
    else:
        yield _row(section, key, path, variable)


def _row(section: type[Section], key: Key, path: str, variable: str) -> list[str]:
    return [
        f"`{path}`",
        _describe(key.shape),
        _default(section, key),
        _code(variable),
        _meaning(section, key),
    ]


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _describe(shape: Shape) -> str:
    if isinstance(shape, Items):
        return f"list of {_plural(shape.of)}"
    if isinstance(shape, Entries):
        return f"map to {_plural(shape.of)}"
    if isinstance(shape, Leaf) and shape.choices:
        return ", ".join(f"`{choice}`" for choice in shape.choices if choice)
    return shape.kind if isinstance(shape, Leaf) else "section"


def _plural(shape: Shape) -> str:
    if isinstance(shape, Items):
        return f"lists of {_plural(shape.of)}"
    if not isinstance(shape, Leaf):
        return "sections"
    return {"URL": "URLs", "anything": "values of any kind"}.get(shape.kind, f"{shape.kind}s")


def _default(section: type[Section], key: Key) -> str:
    info = section.model_fields[key.attribute]
    value = info.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(key.shape, Leaf) and key.shape.kind == "duration" and isinstance(value, float):
        return f"`{format_duration(value)}`"
    return _show(value)


def _show(value: object) -> str:
    if value is None or isinstance(value, SecretStr) or value == "":
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return "`[]`"
    return f"`{value}`"


def _meaning(section: type[Section], key: Key) -> str:
    return attribute_docs(section).get(key.attribute, "")


def attribute_docs(section: type[Section]) -> dict[str, str]:
    """The texts below the attributes of a section and of those it extends, read from their source."""
    found: dict[str, str] = {}
    for part in reversed(section.__mro__):
        if issubclass(part, Section) and part is not Section:
            found |= _own_docs(part)
    return found


def _own_docs(section: type[Section]) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(section)))
    definition = tree.body[0]
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    return dict(_documented(body))


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for pair in pairwise(body):
        match pair:
            case (ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text)))):
                yield name, " ".join(text.split())
