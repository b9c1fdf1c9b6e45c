"""Generate faults in Python source, as text edits that preserve the remaining formatting."""

import ast
import re
from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise

from tests.mutants.text_faults import NUMBER, Edit, number_edits, swapped, swaps_of, word_edits

WORDS = swaps_of(
    "<:<=|> <=:< >:>=|< >=:> ==:!= !=:== in:not_in not_in:in is:is_not is_not:is and:or or:and"
    " +:- -:+ *:/ /:* //:% **:*"
    " min:max max:min any:all all:any sum:mean mean:sum first:last last:first head:tail tail:head"
    " idxmin:idxmax idxmax:idxmin argmin:argmax argmax:argmin floor:ceil ceil:floor median:mean"
    " minimum:maximum maximum:minimum isna:notna notna:isna ffill:bfill startswith:endswith"
)
OPERATOR = r"(?<=[\s)])(?:not in|is not|[^\s()#]+)(?=[\s(])"
METHODS = {"fillna", "dropna", "drop_duplicates", "abs", "clip", "sort_values"}
WORDING = re.compile(
    r"dbt\.config|(.*\.)?(echo|secho|print|warn|warning|info|debug|exception|log|isinstance)"
    r"|.*(Error|_error|_message|sentence)|Literal|Annotated|TYPE_CHECKING|__all__"
)
"""Calls, subscripts, conditions and targets that print, describe or declare types."""
TYPES = {"annotation", "returns", "decorator_list"}
Node = ast.expr | ast.stmt


def python_faults(text: str) -> list[Edit]:
    """Return all possible faults in the source text of a Python module."""
    # ast gives column offsets in bytes. With one byte per character, they equal character offsets.
    tree = ast.parse(re.sub(r"[^\x00-\x7f]", "x", text))
    starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]

    def span(node: Node) -> tuple[int, int]:
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        return starts[node.lineno - 1] + node.col_offset, end

    def source(node: Node) -> str:
        return text[slice(*span(node))]

    edits, names = list[Edit](), dict[int, str]()
    for node in _code(tree):
        edits += [Edit(kind, *span(old), new) for kind, old, new in _replaced(node, source)]
        sides = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr)]
        match node:
            case ast.Compare() | ast.BoolOp() | ast.BinOp():
                for left, right in pairwise(sides):
                    edits += word_edits(OPERATOR, WORDS, text, span(left)[1], span(right)[0])
            case ast.Constant(value=int() | float()):
                edits += number_edits(NUMBER, text, *span(node))
            case ast.Call(func=function):
                edits += word_edits(r"\w+$", WORDS, text, *span(function))
                for left, right in pairwise(node.args):
                    if type(left) is type(right) and source(left) != source(right):
                        (start, middle), (gap, end) = span(left), span(right)
                        new = source(right) + text[middle:gap] + source(left)
                        edits.append(Edit("arguments swapped", start, end, new))
        if isinstance(node, ast.Compare | ast.Subscript | ast.List | ast.Tuple):
            names |= {span(one)[0]: source(one) for one in sides}
    quoted = [(at, name) for at, name in sorted(names.items()) if re.fullmatch(r"\"\w+\"", name)]
    return edits + swapped("name swapped", quoted)


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a syntax node and its descendants, except messages and type annotations."""
    match node:
        case ast.Raise() | ast.JoinedStr() | ast.keyword(arg="help" | "description"):
            return
        case ast.Call(func=name) | ast.Expr(value=ast.Call(func=name)) | ast.If(test=name):
            if WORDING.fullmatch(ast.unparse(name)):
                return
        case ast.Subscript(value=name) | ast.Assign(targets=[name]):
            if WORDING.fullmatch(ast.unparse(name)):
                return
    yield node
    for key, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and key not in TYPES:
                yield from _code(child)


def _replaced(node: ast.AST, source: Callable[[Node], str]) -> Iterator[tuple[str, Node, str]]:
    """Yield the faults of a syntax node: the operator, the node to replace and the new source."""
    match node:
        case ast.BoolOp(op=ast.Or()):
            yield "default dropped", node, source(node.values[0])
        case ast.UnaryOp(op=ast.Not() | ast.Invert() | ast.USub()):
            yield "not or minus dropped", node, source(node.operand)
        case ast.If(test=test, body=[ast.Raise() | ast.Return() | ast.Continue()], orelse=[]):
            yield "condition negated", test, f"not ({source(test)})"
            yield "guard removed", node, "pass"
        case ast.If(test=test) | ast.IfExp(test=test):
            yield "condition negated", test, f"not ({source(test)})"
        case ast.Expr(value=ast.Call()):
            yield "call removed", node, "pass"
        case ast.Constant(value=bool()):
            yield "true/false flipped", node, str(not node.value)
        case ast.Slice():
            for bound in filter(None, (node.lower, node.upper)):
                yield "bound moved", bound, f"{source(bound)} + 1"
        case ast.Subscript(slice=ast.Compare() | ast.UnaryOp(op=ast.Invert())):
            yield "filter dropped", node, source(node.value)
        case ast.comprehension(ifs=[condition, *_]):
            yield "filter dropped", condition, "True"
        case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in METHODS:
            yield f"{name} dropped", node, source(value)
        case ast.Call(func=ast.Attribute(attr="get"), args=[_, default]):
            yield "default dropped", default, "None"
