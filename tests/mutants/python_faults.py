"""Faults of Python, at the positions of syntax nodes so that the rest keeps its formatting."""

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from tests.mutants.edits import Edit, number_edits, swapped, swaps_of, word_edits

OPERATOR = r"(?<=[\s)])(?:not in|is not|[^\s()#]+)(?=[\s(])"
OPERATORS = swaps_of(
    "<:<=|> <=:< >:>=|< >=:> ==:!= !=:== in:not_in not_in:in is:is_not is_not:is and:or or:and"
    " +:- -:+ *:/ /:* //:% **:*"
)
FUNCTIONS = swaps_of(
    "min:max max:min any:all all:any sum:mean mean:sum first:last last:first head:tail tail:head"
    " idxmin:idxmax idxmax:idxmin argmin:argmax argmax:argmin floor:ceil ceil:floor median:mean"
    " minimum:maximum maximum:minimum isna:notna notna:isna ffill:bfill startswith:endswith"
)
DROPPED = {"fillna", "dropna", "drop_duplicates", "abs", "clip", "sort_values", "sorted"}
WORDING = re.compile(
    r"dbt\.config|(.*\.)?(echo|secho|print|warn|warning|info|debug|exception|log|isinstance)"
    r"|.*(Error|_error|_message|sentence)|Literal|Annotated|TYPE_CHECKING|__all__"
)
"""Calls, subscripts, conditions and targets that print, describe or declare types."""
TYPES = {"annotation", "returns", "decorator_list"}
TEXT = re.compile(r"f?\"|\[")
Node = ast.expr | ast.stmt


class Source:
    """The text of a module, and edits at the positions of its nodes."""

    def __init__(self, text: str) -> None:
        # Syntax nodes count bytes: with one byte for each character these are characters.
        self.text, self.plain = text, re.sub(r"[^\x00-\x7f]", "x", text)
        self.starts = [0, *accumulate(len(line) + 1 for line in self.plain.split("\n"))]

    def span(self, node: Node) -> tuple[int, int]:
        """Return the position of a node."""
        end = self.starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        return self.starts[node.lineno - 1] + node.col_offset, end

    def of(self, node: Node) -> str:
        """Return the source of a node."""
        return self.text[slice(*self.span(node))]

    def replaced(self, operator: str, node: Node, new: str) -> Edit:
        """Return the edit that replaces a node."""
        return Edit(operator, *self.span(node), new)

    def between(self, nodes: Sequence[ast.expr]) -> Iterator[Edit]:
        """Return the edits of the operators between operands."""
        for left, right in pairwise(nodes):
            place = self.span(left)[1], self.span(right)[0]
            yield from word_edits(OPERATOR, OPERATORS, self.text, *place)


def faults(text: str) -> list[Edit]:
    """Return the possible faults of a module."""
    source = Source(text)
    nodes = [*_code(ast.parse(source.plain))]
    edits = [edit for node in nodes for edit in _edits(node, source)]
    constants = {
        source.span(one)
        for node in nodes
        if isinstance(node, ast.Compare | ast.Subscript | ast.List | ast.Tuple)
        for one in ast.iter_child_nodes(node)
        if isinstance(one, ast.Constant) and re.fullmatch(r"\"\w+\"", source.of(one))
    }
    names = [(start, text[start:end]) for start, end in sorted(constants)]
    return edits + swapped("name swapped", names)


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Return a node and those below it, apart from wording and types."""
    match node:
        case ast.Raise() | ast.JoinedStr() | ast.keyword(arg="help" | "description"):
            return
        case (
            ast.Call(func=name)
            | ast.Expr(value=ast.Call(func=name))
            | ast.Subscript(value=name)
            | ast.If(test=name)
            | ast.Assign(targets=[name])
        ) if WORDING.fullmatch(ast.unparse(name)):
            return
    yield node
    for key, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and key not in TYPES:
                yield from _code(child)


def _edits(node: ast.AST, source: Source) -> Iterator[Edit]:
    match node:
        case ast.Compare():
            yield from source.between([node.left, *node.comparators])
        case ast.BoolOp():
            yield from source.between(node.values)
            if isinstance(node.op, ast.Or):
                yield source.replaced("default dropped", node, source.of(node.values[0]))
        case ast.BinOp(left=left, right=right):
            if not any(TEXT.match(source.of(side)) for side in (left, right)):
                yield from source.between([left, right])
        case ast.UnaryOp(op=ast.Not() | ast.Invert() | ast.USub()):
            yield source.replaced("not or minus dropped", node, source.of(node.operand))
        case ast.If() | ast.IfExp():
            yield source.replaced("condition negated", node.test, f"not ({source.of(node.test)})")
            leaves = isinstance(node, ast.If) and isinstance(node.body[0], ast.Raise | ast.Return)
            if leaves and not node.orelse:
                yield source.replaced("guard removed", node, "pass")
        case ast.Expr(value=ast.Call()):
            yield source.replaced("call removed", node, "pass")
        case ast.Constant(value=bool()):
            yield source.replaced("true/false flipped", node, str(not node.value))
        case ast.Constant(value=int() | float()) if re.fullmatch(r"[\d.]+", source.of(node)):
            yield from number_edits(source.of(node), source.span(node)[0])
        case ast.Slice():
            for bound in filter(None, (node.lower, node.upper)):
                yield source.replaced("bound moved", bound, f"{source.of(bound)} + 1")
        case ast.Subscript(slice=ast.Compare() | ast.UnaryOp(op=ast.Invert())):
            yield source.replaced("filter dropped", node, source.of(node.value))
        case ast.comprehension(ifs=[condition, *_]):
            start = source.text.rindex("if", source.span(node.iter)[1], source.span(condition)[0])
            yield Edit("filter dropped", start, source.span(condition)[1], "")
        case ast.Call():
            yield from _edits_of_call(node, source)


def _edits_of_call(node: ast.Call, source: Source) -> Iterator[Edit]:
    for left, right in pairwise(node.args):
        if type(left) is type(right) and source.of(left) != source.of(right):
            (start, middle), (gap, end) = source.span(left), source.span(right)
            new = source.of(right) + source.text[middle:gap] + source.of(left)
            yield Edit("arguments swapped", start, end, new)
    end = source.span(node.func)[1]
    name = re.split(r"\W", source.of(node.func))[-1]
    yield from word_edits(r"\w+", FUNCTIONS, source.text, end - len(name), end)
    kept = node.func.value if isinstance(node.func, ast.Attribute) else [*node.args, None][0]
    if name in DROPPED and kept is not None:
        yield source.replaced(f"{name} dropped", node, source.of(kept))
    if name == "get" and len(node.args) == 2:
        yield source.replaced("default dropped", node.args[1], "None")
