"""Small random changes of a package's functions, each one place in its source."""

from __future__ import annotations

import ast
import difflib
import hashlib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import engines

PROGRAM = Path(engines.__file__).parents[1]
"""What is imported: this checkout, or a wheel that is installed."""

_OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}
_QUIET = frozenset({"debug", "info", "warning", "error", "exception", "log"})
"""Calls that tell operators something, and change nothing."""


@dataclass(frozen=True)
class Place:
    """One change: a stretch of one line or more of a file, and what stands there instead."""

    path: str
    """From the project's root."""
    function: str
    """Qualified name of the outermost function around it."""
    line: int
    begin: int
    end: int
    """Characters of the file's text."""
    instead: str
    kind: str

    @property
    def id(self) -> str:
        """Stays the same while the function's own text does, wherever it moves to."""
        text = self.source()
        around = text[max(0, self.begin - 40) : self.end + 40]
        told = f"{self.path} {self.function} {around} {self.instead}"
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    def source(self) -> str:
        return _text(self.path)

    def changed(self) -> str:
        """The file's text with the change made."""
        text = self.source()
        return text[: self.begin] + self.instead + text[self.end :]

    def diff(self) -> str:
        """The change as a diff without its head."""
        lines = difflib.unified_diff(
            self.source().splitlines(), self.changed().splitlines(), lineterm="", n=1
        )
        return "\n".join(list(lines)[2:])


@cache
def _text(path: str) -> str:
    return (PROGRAM / path).read_text(encoding="utf-8")


def places(package: str) -> list[Place]:
    """Every change that could be made within the functions of a package or module."""
    folder = PROGRAM / package
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]
    return [place for file in files for place in _of_file(file)]


def _of_file(file: Path) -> Iterator[Place]:
    text = file.read_text(encoding="utf-8")
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    lines = text.splitlines(keepends=True)

    def at(line: int, column: int) -> int:
        # Columns are counted in UTF-8.
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    for name, function in _functions(ast.parse(text)):
        for node, instead, kind in _changes_of(function):
            if node.end_lineno is None or node.end_col_offset is None:
                continue
            yield Place(
                path=str(file.relative_to(PROGRAM)),
                function=name,
                line=node.lineno,
                begin=at(node.lineno, node.col_offset),
                end=at(node.end_lineno, node.end_col_offset),
                instead=instead,
                kind=kind,
            )


def _functions(node: ast.AST, within: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """The outermost functions, by qualified names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield f"{within}{child.name}", child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{within}{child.name}.")


def _changes_of(function: ast.FunctionDef) -> Iterator[tuple[ast.expr | ast.stmt, str, str]]:
    """Each node that can be changed, with the text to stand in its place."""
    if function.name == "__repr__":
        return
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if _tells_only(node) or isinstance(node, ast.Raise):
            if isinstance(node, ast.Raise):
                yield node, "pass", "no raise"
            continue
        pending += [each for each in ast.iter_child_nodes(node) if not _is_type(node, each)]
        if isinstance(node, (ast.expr, ast.stmt)):
            yield from ((node, instead, kind) for instead, kind in _of_node(node))


def _of_node(node: ast.expr | ast.stmt) -> Iterator[tuple[str, str]]:  # noqa: C901 - a table
    match node:
        case ast.Compare(ops=[op]) if type(op) in _OTHER:
            yield _with(node, "ops", [_OTHER[type(op)]()]), "comparison"
        case ast.BoolOp(op=op):
            yield _with(node, "op", _OTHER[type(op)]()), "and, or"
            for left_out in range(len(node.values)):
                rest = [each for at, each in enumerate(node.values) if at != left_out]
                text = ast.unparse(rest[0]) if len(rest) == 1 else _with(node, "values", rest)
                yield f"({text})", "condition left out"
        case ast.BinOp(op=op) if type(op) in _OTHER:
            yield _with(node, "op", _OTHER[type(op)]()), "arithmetic"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield f"({ast.unparse(operand)})", "no not"
        case ast.Constant(value=bool() as value):
            yield str(not value), "constant"
        case ast.Constant(value=int() | float() as value):
            yield str(value + 1), "constant"
        case ast.IfExp(body=body, orelse=orelse):
            yield f"({ast.unparse(body)})", "always"
            yield f"({ast.unparse(orelse)})", "never"
        case ast.Call(keywords=[_, *_]):
            for left_out in range(len(node.keywords)):
                rest_of = [each for at, each in enumerate(node.keywords) if at != left_out]
                yield _with(node, "keywords", rest_of), "argument left out"
        case ast.Return(value=ast.expr() as value) if not _is_nothing(value):
            yield "return None", "returns None"
        case ast.Expr(value=ast.Call()):
            yield "pass", "call left out"
        case ast.Assign() | ast.AugAssign() if _of_attribute(node):
            yield "pass", "assignment left out"
        case ast.Continue():
            yield "break", "break"
        case ast.Break():
            yield "continue", "continue"


def _with(node: ast.AST, field: str, value: object) -> str:
    changed = deepcopy(node)
    setattr(changed, field, value)
    text = ast.unparse(changed)
    return f"({text})" if isinstance(node, (ast.BoolOp, ast.BinOp, ast.Compare)) else text


def _tells_only(node: ast.AST) -> bool:
    """Whether a statement is a docstring, or tells operators something."""
    if not isinstance(node, ast.Expr):
        return False
    called = node.value.func if isinstance(node.value, ast.Call) else None
    if isinstance(called, ast.Attribute) and called.attr in _QUIET:
        return isinstance(called.value, ast.Name) and called.value.id == "log"
    return isinstance(node.value, ast.Constant)


def _is_type(parent: ast.AST, child: ast.AST) -> bool:
    return child in (getattr(parent, "annotation", None), getattr(parent, "returns", None))


def _is_nothing(node: ast.expr) -> bool:
    """Whether None in its place is the same to who asks whether it is anything."""
    return isinstance(node, ast.Constant) and not node.value


def _of_attribute(node: ast.Assign | ast.AugAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return all(isinstance(target, ast.Attribute) for target in targets)
