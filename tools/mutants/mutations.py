"""The changes that are made, one at a time: what a tired programmer would get wrong."""

import ast
from collections.abc import Callable
from typing import Final, NamedTuple

_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


class Place(NamedTuple):
    """Where a module can be changed: its node by number, in the order of `ast.walk`, and how."""

    line: int
    column: int
    node: int
    change: str


def places(source: str) -> list[Place]:
    """List what can be changed in a module, in a fixed order."""
    tree = ast.parse(source)
    told = _texts_and_types(tree)
    found = []
    for number, node in enumerate(ast.walk(tree)):
        if id(node) not in told and isinstance(node, ast.expr | ast.stmt):
            found += [Place(node.lineno, node.col_offset, number, change) for change in _changes(node)]
    return found


def mutated(source: str, place: Place) -> str:
    """Return the module with one change, as text without comments."""
    tree = ast.parse(source)
    node = next(node for number, node in enumerate(ast.walk(tree)) if number == place.node)
    _CHANGE[place.change][1](node, tree)
    return ast.unparse(ast.fix_missing_locations(tree))


def _changes(node: ast.AST) -> list[str]:
    """Name what can be done to a node."""
    return [name for name, (applies, _) in _CHANGE.items() if applies(node)]


def _is(*kinds: type[ast.AST]) -> Callable[[ast.AST], bool]:
    return lambda node: isinstance(node, kinds)


def _is_comparison(node: ast.AST) -> bool:
    return isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS


def _is_arithmetic(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC and not _joins_text(node)


def _is_negation(node: ast.AST) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _is_constant(kind: type[int]) -> Callable[[ast.AST], bool]:
    return lambda node: isinstance(node, ast.Constant) and type(node.value) is kind


def _gives_something(node: ast.AST) -> bool:
    return isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value)


def _is_step(node: ast.AST) -> bool:
    return isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await))


def _compare(node: ast.AST, _tree: ast.AST) -> None:
    assert isinstance(node, ast.Compare)
    node.ops = [_COMPARISONS[type(node.ops[0])]()]


def _and_or(node: ast.AST, _tree: ast.AST) -> None:
    assert isinstance(node, ast.BoolOp)
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()


def _arithmetic(node: ast.AST, _tree: ast.AST) -> None:
    assert isinstance(node, ast.BinOp)
    node.op = _ARITHMETIC[type(node.op)]()


def _constant(node: ast.AST, _tree: ast.AST) -> None:
    assert isinstance(node, ast.Constant)
    node.value = not node.value if isinstance(node.value, bool) else node.value + 1  # type: ignore[operator]


def _always(node: ast.AST, _tree: ast.AST) -> None:
    assert isinstance(node, ast.If | ast.IfExp | ast.While)
    node.test = ast.BoolOp(ast.Or(), [node.test, ast.Constant(value=True)])


def _never(node: ast.AST, _tree: ast.AST) -> None:
    assert isinstance(node, ast.If | ast.IfExp | ast.While)
    node.test = ast.BoolOp(ast.And(), [node.test, ast.Constant(value=False)])


def _return_nothing(node: ast.AST, _tree: ast.AST) -> None:
    assert isinstance(node, ast.Return)
    node.value = ast.Constant(value=None)


def _not(node: ast.AST, tree: ast.AST) -> None:
    assert isinstance(node, ast.UnaryOp)
    _put(tree, node, node.operand)


def _leave_out(node: ast.AST, tree: ast.AST) -> None:
    _put(tree, node, ast.Pass())


def _break(node: ast.AST, tree: ast.AST) -> None:
    _put(tree, node, ast.Break())


def _continue(node: ast.AST, tree: ast.AST) -> None:
    _put(tree, node, ast.Continue())


def _put(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    """Put a node in the place of another."""

    class Putting(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return new if node is old else super().generic_visit(node)

    Putting().visit(tree)


#: Each change: what it can be made to, and how it is made.
_CHANGE: Final[dict[str, tuple[Callable[[ast.AST], bool], Callable[[ast.AST, ast.AST], None]]]] = {
    "compare": (_is_comparison, _compare),
    "and/or": (_is(ast.BoolOp), _and_or),
    "not": (_is_negation, _not),
    "arithmetic": (_is_arithmetic, _arithmetic),
    "true/false": (_is_constant(bool), _constant),
    "number": (_is_constant(int), _constant),
    "always": (_is(ast.If, ast.IfExp, ast.While), _always),
    "never": (_is(ast.If, ast.IfExp, ast.While), _never),
    "return nothing": (_gives_something, _return_nothing),
    "leave out": (_is_step, _leave_out),
    "break": (_is(ast.Continue), _break),
    "continue": (_is(ast.Break), _continue),
}


def _texts_and_types(tree: ast.AST) -> set[int]:
    """Return the nodes that say nothing about what happens: annotations, decorators' arguments, protocols."""
    found: set[int] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            parts += [node.returns, *(one.annotation for one in every if one), *node.decorator_list]
        elif isinstance(node, ast.AnnAssign):
            parts.append(node.annotation)
        elif isinstance(node, ast.ClassDef):
            parts += node.decorator_list
            parts += node.body if any("Protocol" in ast.unparse(base) for base in node.bases) else []
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            parts.append(node)
        found |= {id(inner) for part in parts if part is not None for inner in ast.walk(part)}
    return found


def _joins_text(node: ast.BinOp) -> bool:
    """Tell whether an operation is on texts or lists, where another one would only be an error of types."""
    return any(isinstance(part, ast.JoinedStr | ast.List | ast.Tuple) or _is_text(part) for part in ast.walk(node))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
