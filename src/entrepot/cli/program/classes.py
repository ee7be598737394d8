"""Commands out of functions: their help, and the options that every one of them takes.

    app = Noun()

    @app.command("remove")
    @destructive()
    def remove_command(name: Name) -> None: ...

A command is imported when it is named (`Program`), so that a start costs what one command needs. Which registry is
meant is declared here, once, and taken before and after any word of a command; see `command_line`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from entrepot.cli.program.command_line import Given, running

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand
    from typer._click import HelpFormatter
    from typer._click.core import Context, Parameter

_Function = TypeVar("_Function", bound=Callable[..., Any])
_SETTINGS: Final = {"help_option_names": ["-h", "--help"]}
_DESTRUCTIVE: Final = "takes_away"
_GIVEN: Final = "entrepot.given"
_OTHERWISE: Final = (
    "Without them: ENTREPOT_SERVER, ENTREPOT_DATA or ENTREPOT_CONFIG; else the saved context (entrepot context); else "
    "./data."
)
_MORE: Final = "Which registry: --server, --data or --config; see entrepot --help."


# --- the options of every command ------------------------------------------------------------------------------------


def _place(
    *,
    server: Annotated[str | None, typer.Option("--server", metavar="URL", help="A server: entrepot login URL.")] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The data folder of serve.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The configuration file of serve.")
    ] = None,
) -> None:
    """Take what says which registry is meant."""


def _consent(*, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Take the answer to the question that is asked before something goes."""


@functools.cache
def _options(declared: Callable[..., None]) -> list[Parameter]:
    """Return the options that a function declares, which go to `Given` and not to the command's own function."""
    app = typer.Typer(add_completion=False)
    app.command()(declared)
    options: list[Parameter] = [each for each in get_command(app).params if each.name != "help"]
    for option in options:
        option.expose_value = False
        option.callback = _keep
    return options


def _keep(context: Context, option: Parameter, value: object) -> object:
    if value not in (None, False):
        setattr(_of(context), option.name, value)
    return value


def _of(context: Context) -> Given:
    """Return what this command line has said until now; groups and the command within them share it."""
    found: Given = context.meta.setdefault(_GIVEN, Given())
    return found


def _with(params: list[Parameter], *declared: Callable[..., None]) -> list[Parameter]:
    """Return parameters with the options that no other of them takes the name of."""
    taken = {name for param in params for name in param.opts}
    return [*params, *(each for one in declared for each in _options(one) if not taken & set(each.opts))]


def destructive(*flags: str) -> Callable[[_Function], _Function]:
    """Mark the function of a command that takes something away: always, or where one of its flags is given."""

    def marked(function: _Function) -> _Function:
        setattr(function, _DESTRUCTIVE, flags or ("",))
        return function

    return marked


# --- a command and a group -------------------------------------------------------------------------------------------


class Command(TyperCommand):
    """A command that knows which registry is meant."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Return its parameters, with those that every command has."""
        return _with(self.own(ctx), _place)

    def own(self, ctx: Context) -> list[Parameter]:
        """Return the parameters that its help shows: all but those that say which registry is meant."""
        *own, asks_for_help = super().get_params(ctx)
        return [*_with(own, *([_consent] if self._takes_away else ())), asks_for_help]

    def invoke(self, ctx: Context) -> Any:
        """Run it; on a registry that the command line does not name, ask before anything is taken away."""
        with running(_of(ctx)):
            if self._asks(ctx.params):
                from entrepot.cli.program.registry_choice import confirm_saved

                confirm_saved(ctx.command_path.partition(" ")[2])
            return super().invoke(ctx)

    def _asks(self, params: Mapping[str, Any]) -> bool:
        return not params.get("dry_run") and any(params.get(flag, True) for flag in self._takes_away)

    @property
    def _takes_away(self) -> tuple[str, ...]:
        found: tuple[str, ...] = getattr(self.callback, _DESTRUCTIVE, ())
        return found

    def collect_usage_pieces(self, ctx: Context) -> list[str]:  # noqa: ARG002 - the library's signature
        """Return how it is written."""
        return ["[OPTIONS]", *(placeholder(each) for each in self.params if each.param_type_name == "argument")]

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write what it does, how it is written, and its own arguments and options."""
        _write_text(self.help, formatter)
        self.format_usage(ctx, formatter)
        _write_params(self.own(ctx), ctx, formatter)
        _write_text(_MORE, formatter)


class Group(TyperGroup):
    """The commands of one noun."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Return its parameters, with those that every command has."""
        return _with(super().get_params(ctx), _place)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Read its own options; without anything to read it says what there is."""
        if not args and not ctx.resilient_parsing:
            typer.echo(self.get_help(ctx))
            ctx.exit()
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write what it is about, and its commands."""
        _write_text(self.help, formatter)
        self.format_usage(ctx, formatter)
        self.format_commands(ctx, formatter)
        _write_params(super().get_params(ctx), ctx, formatter)
        _write_text(_MORE, formatter)


class Noun(typer.Typer):
    """A group of commands that is being made."""

    def __init__(self, kind: type[Group] = Group, *, completion: bool = False) -> None:
        super().__init__(cls=kind, rich_markup_mode=None, add_completion=completion, context_settings=_SETTINGS)

    def command(  # type: ignore[override]  # the settings that typer lists one by one are given by this class
        self, name: str
    ) -> Callable[[_Function], _Function]:
        """Make a command out of a function."""
        return super().command(name, cls=Command, context_settings=_SETTINGS)


def _write_text(text: str | None, formatter: HelpFormatter) -> None:
    if formatter.getvalue():
        formatter.write_paragraph()
    formatter.write_text(text or "")
    if not formatter.getvalue().endswith("\n\n"):
        formatter.write_paragraph()


def _write_params(params: list[Parameter], ctx: Context, formatter: HelpFormatter) -> None:
    for kind, title in (("argument", "Arguments"), ("option", "Options")):
        records = [_record(each, ctx) for each in params if each.param_type_name == kind]
        found = [record for record in records if record is not None]
        if found:
            with formatter.section(title):
                formatter.write_dl(found)


def _record(param: Parameter, ctx: Context) -> tuple[str, str] | None:
    """Return how a parameter is written, and what it means."""
    if param.param_type_name == "argument":
        return placeholder(param), str(getattr(param, "help", None) or "")
    return param.get_help_record(ctx)


def place_options() -> list[Parameter]:
    """Return the options that every command takes."""
    return _options(_place)


def placeholder(argument: object) -> str:
    """Return what stands for an argument in the usage line."""
    metavar = str(getattr(argument, "metavar", None) or getattr(argument, "name", "")).upper()
    if getattr(argument, "nargs", 1) == -1 and not metavar.endswith("..."):
        metavar += "..."
    return metavar if getattr(argument, "required", True) else f"[{metavar}]"


# --- the program -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Later:
    """A command that is imported when it is named."""

    section: str
    help: str
    where: str  #: a module that has an `app`, or a module and a function: `module:function`
    hidden: bool = False


class _Imported(MutableMapping[str, "AnyCommand"]):
    """Commands by their names, each made when it is asked for."""

    def __init__(self, known: Mapping[str, Later], made: Mapping[str, AnyCommand]) -> None:
        self._known, self._made = known, dict(made)

    def __getitem__(self, name: str) -> AnyCommand:
        if name not in self._made:
            self._made[name] = _imported(name, self._known[name])
        return self._made[name]

    def __setitem__(self, name: str, command: AnyCommand) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def _imported(name: str, later: Later) -> AnyCommand:
    module, _, function = later.where.partition(":")
    found = getattr(importlib.import_module(module), function or "app")
    if function:
        app = Noun()
        app.command(name)(found)
        command = get_command(app)
    else:
        command = get_group(found)
        command.help = later.help
    command.name = name
    return command


class Program(Group):
    """All commands, in sections, each imported when it is named."""

    known: Mapping[str, Later] = {}

    def __init__(self, *, commands: Mapping[str, AnyCommand], **more: Any) -> None:
        super().__init__(**more)
        self.commands = _Imported(self.known, commands)

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the commands by sections, without importing any, and how to say which registry is meant."""
        _write_text(self.help, formatter)
        self.format_usage(ctx, formatter)
        shown = {name: later for name, later in self.known.items() if not later.hidden}
        widest = max(map(len, shown))
        for section in dict.fromkeys(later.section for later in shown.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [(name.ljust(widest), later.help) for name, later in shown.items() if later.section == section]
                )
        with formatter.section("Which registry (before or after any command)"):
            formatter.write_dl(
                [record for option in place_options() if (record := option.get_help_record(ctx)) is not None]
            )
            formatter.write_text(_OTHERWISE)
        _write_params(TyperGroup.get_params(self, ctx), ctx, formatter)
        _write_text("More about a command: entrepot COMMAND --help", formatter)
