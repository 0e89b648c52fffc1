"""`data.cut`: a condition on columns, parsed by Python's `ast` and computed with NumPy; none of it is run as Python.

Whole numbers stay whole under + - * // and %, everything else is computed in float64. A comparison with a missing
value does not hold, but for `!=`.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from pruning_core.data.columns import Pick
from pruning_core.data.dataset import DataError
from pruning_core.data.readers import Column

LONGEST, DEEPEST = 5000, 100

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: np.true_divide(a, b),
    ast.FloorDiv: lambda a, b: np.floor_divide(a, b),
    ast.Mod: lambda a, b: np.mod(a, b),
    ast.Pow: lambda a, b: np.power(np.asarray(a, np.float64), np.asarray(b, np.float64)),
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "abs": (np.abs, 1),
    "sqrt": (np.sqrt, 1),
    "log": (np.log, 1),
    "log10": (np.log10, 1),
    "exp": (np.exp, 1),
    "sin": (np.sin, 1),
    "cos": (np.cos, 1),
    "tan": (np.tan, 1),
    "floor": (np.floor, 1),
    "hypot": (np.hypot, 2),
    "min": (lambda *values: reduce(np.minimum, values), 0),
    "max": (lambda *values: reduce(np.maximum, values), 0),
}
"""Each function and how many values it takes, 0 for two or more."""


@dataclass(frozen=True)
class Cut:
    """A parsed condition and what it reads: ``picks`` are its columns and elements of lists."""

    text: str
    tree: ast.expr
    picks: tuple[Pick, ...]
    quoted: Mapping[str, str]

    def keeps(self, columns: Mapping[Pick, Column], rows: int) -> np.ndarray:
        """Which rows it holds for, (rows,) bool.

        Raises:
            DataError: it compares text with a number, or is no condition.
        """
        with np.errstate(all="ignore"):
            value = _Evaluation(self, columns).value(self.tree)
        if np.asarray(value).dtype.kind != "b":
            raise self.refusal("must be a condition, such as n_jet >= 2, and is a value")
        return np.broadcast_to(value, rows)

    def refusal(self, why: str) -> DataError:
        """That it cannot be used."""
        return DataError(f"data.cut = {_shortened(self.text)!r} {why}")

    def source(self, node: ast.AST) -> str:
        """The part of the text that a node stands for."""
        found = ast.unparse(node)
        for name, column in self.quoted.items():
            found = found.replace(name, f"`{column}`")
        return _shortened(found)


def parse_cut(text: str) -> Cut:
    """A condition, refused where it holds anything but columns, numbers, text and what is listed in this module.

    Raises:
        DataError: names the part that is not allowed.
    """
    plain, quoted = _without_backticks(text)
    empty = Cut(text, ast.Constant(True), (), quoted)
    if len(text) > LONGEST:
        raise DataError(f"data.cut must have at most {LONGEST} characters, and has {len(text)}")
    try:
        tree = ast.parse(plain.replace("\n", " ").strip(), mode="eval").body
        picks: dict[Pick, None] = {}
        _check(tree, Cut(text, tree, (), quoted), picks)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, DataError):
            raise
        words = " (write and, or, not)" if any(sign in text for sign in ("&&", "||", "!")) else ""
        reason = error.msg if isinstance(error, SyntaxError) else "it is too deep or holds odd characters"
        raise empty.refusal(f"must be a condition such as n_jet >= 2 and abs(eta) < 2.4{words}: {reason}") from None
    return Cut(text, tree, tuple(picks), quoted)


def _without_backticks(text: str) -> tuple[str, dict[str, str]]:
    """The text with a plain name in place of each one in backticks, and what those stand for."""
    prefix = "column_"
    while prefix in text:
        prefix += "_"
    quoted: dict[str, str] = {}
    pieces, at = [], 0
    while at < len(text):
        sign = text[at]
        end = text.find(sign, at + 1) if sign in "`'\"" else -1
        if end < 0:
            pieces.append(sign)
            at += 1
        elif sign == "`":
            quoted[f"{prefix}{len(quoted)}_"] = text[at + 1 : end]
            pieces.append(list(quoted)[-1])
            at = end + 1
        else:
            pieces.append(text[at : end + 1])
            at = end + 1
    return "".join(pieces), quoted


def _check(node: ast.AST, cut: Cut, picks: dict[Pick, None], depth: int = 0) -> None:
    """Goes through the whole tree; whatever is not named here is refused."""
    if depth > DEEPEST:
        raise cut.refusal(f"must not be nested more than {DEEPEST} times")
    match node:
        case ast.BoolOp(values=values):
            parts: list[ast.AST] = list(values)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
            parts = [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            parts = [left, right]
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in COMPARISONS for op in ops):
            parts = [left, *others]
        case ast.Constant(value=bool() | int() | float() | str()):
            parts = []
        case ast.Name(id=name):
            if name.startswith("__") and name not in cut.quoted:
                raise cut.refusal(f"must not hold {name}")
            picks[Pick(cut.quoted.get(name, name))] = None
            parts = []
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int(index))) if type(index) is int:
            picks[Pick(cut.quoted.get(name, name), index)] = None
            parts = []
        case ast.Subscript():
            raise cut.refusal(
                f"must name an element of a list by its number from 0, such as Jet_pt[0], not {cut.source(node)}"
            )
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            _check_arity(name, node, cut)
            parts = list(arguments)
        case ast.Call():
            raise cut.refusal(f"must not hold {cut.source(node)}: the functions are {', '.join(FUNCTIONS)}")
        case ast.Attribute():
            raise cut.refusal(f"must not hold {cut.source(node)}: write the name of a column with a dot in `backticks`")
        case ast.BinOp(op=ast.BitAnd() | ast.BitOr()):
            raise cut.refusal(f"must not hold {cut.source(node)}: write and, or")
        case _:
            raise cut.refusal(
                f"must not hold {cut.source(node)}: allowed are columns, numbers, text, + - * / // % **, comparisons, "
                f"and, or, not, and the functions {', '.join(FUNCTIONS)}"
            )
    for part in parts:
        _check(part, cut, picks, depth + 1)


def _check_arity(name: str, call: ast.Call, cut: Cut) -> None:
    wanted, given = FUNCTIONS[name][1], len(call.args)
    if given != wanted and (wanted or given < 2):
        values = f"{wanted} value{'s' * (wanted > 1)}" if wanted else "at least 2 values"
        raise cut.refusal(f"must give {name} {values}, not {given}")


@dataclass(frozen=True)
class _Evaluation:
    """A checked tree on columns."""

    cut: Cut
    columns: Mapping[Pick, Column]

    def value(self, node: ast.AST) -> Any:
        """Numbers or truth values, one for all rows or (rows,); text as an array of objects."""
        match node:
            case ast.BoolOp(op=op, values=values):
                both = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return reduce(both, [self._truth(value) for value in values])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return np.logical_not(self._truth(operand))
            case ast.UnaryOp(op=op, operand=operand):
                number = self._number(operand)
                return -number if isinstance(op, ast.USub) else number
            case ast.BinOp(left=left, op=op, right=right):
                return ARITHMETIC[type(op)](self._number(left), self._number(right))
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [left, *others]
                pairs = zip(sides, ops, sides[1:], strict=False)
                return reduce(np.logical_and, [self._compared(a, op, b) for a, op, b in pairs])
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return FUNCTIONS[name][0](*(self._number(argument) for argument in arguments))
            case ast.Constant(value=str(text)):
                return np.array(text, dtype=object)
            case ast.Constant(value=bool(truth)):
                return np.bool_(truth)
            case ast.Constant(value=int(number)) if abs(number) < 2**63:
                return np.int64(number)
            case ast.Constant(value=int(number) | float(number)):
                return _float(number)
            case ast.Name(id=name):
                return self.columns[Pick(self.cut.quoted.get(name, name))].values
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int(index))):
                return self.columns[Pick(self.cut.quoted.get(name, name), index)].values
        raise self.cut.refusal(f"must not hold {self.cut.source(node)}")

    def _compared(self, left: ast.AST, op: ast.cmpop, right: ast.AST) -> Any:
        a, b = self.value(left), self.value(right)
        if {a.dtype.kind, b.dtype.kind} == {"O"}:
            if not isinstance(op, ast.Eq | ast.NotEq):
                raise self.cut.refusal("must compare text by == and != only")
            return np.asarray(COMPARISONS[type(op)](a, b), dtype=bool)
        return COMPARISONS[type(op)](self._number(left), self._number(right))

    def _truth(self, node: ast.AST) -> Any:
        value = self.value(node)
        return value if value.dtype.kind == "b" else self._number(node) != 0

    def _number(self, node: ast.AST) -> Any:
        value = self.value(node)
        if value.dtype.kind == "O":
            raise self.cut.refusal(f"must not take {self.cut.source(node)} for a number, as it is text")
        whole = value.dtype.kind in "bi" or (value.dtype.kind == "u" and value.max(initial=0) < 2**63)
        return value.astype(np.int64 if whole else np.float64)


def _float(number: float) -> np.float64:
    try:
        return np.float64(float(number))
    except OverflowError:
        return np.float64(np.inf if number > 0 else -np.inf)


def _shortened(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."
