"""Highlighted source code as rows."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from torbiz_tui.logs.sanitizing import sanitize_text
from torbiz_tui.widgets.styled_rows import Part, Row, folded, size_of

if TYPE_CHECKING:
    from pygments.lexer import Lexer

BAR, BAR_FOLDED = "│ ", "┆ "
_TAB = 4
# Pygments' token types by the beginning of their names, the closest last.
_STYLES = (
    ("Token.Comment", "comment"),
    ("Token.Comment.Preproc", "keyword"),
    ("Token.Generic.Deleted", "removed"),
    ("Token.Generic.Heading", "keyword"),
    ("Token.Generic.Inserted", "string"),
    ("Token.Generic.Prompt", "comment"),
    ("Token.Generic.Subheading", "number"),
    ("Token.Keyword", "keyword"),
    ("Token.Keyword.Constant", "number"),
    ("Token.Literal.Number", "number"),
    ("Token.Literal.String", "string"),
    ("Token.Name.Attribute", "name"),
    ("Token.Name.Builtin", "name"),
    ("Token.Name.Class", "name"),
    ("Token.Name.Decorator", "number"),
    ("Token.Name.Function", "name"),
    ("Token.Name.Tag", "keyword"),
    ("Token.Operator.Word", "keyword"),
)


def code_rows(source: str, language: str, width: int) -> list[Row]:
    """Code with a bar at its left; lines that are too long go on behind a broken bar."""
    inner = max(1, width - len(BAR))
    rows = []
    for line in _highlighted(sanitize_text(source).expandtabs(_TAB), language):
        for at, row in enumerate(folded(line, inner)):
            bar = BAR_FOLDED if at else BAR
            used = sum(size_of(text) for text, _ in row.parts)
            filling = [(" " * (inner - used), "code")] if used < inner else []
            rows.append(Row([(bar, "code bar"), *row.parts, *filling], 1, row.joint))
    return rows


def label_rows(language: str, width: int) -> list[Row]:
    """The language above its code."""
    if not language:
        return []
    inner = max(1, width - len(BAR))
    row = folded([(sanitize_text(language), "code label")], inner)[0]
    used = sum(size_of(text) for text, _ in row.parts)
    parts = [(BAR, "code bar"), *row.parts, (" " * (inner - used), "code")]
    return [Row(parts, len(parts), None)]


@lru_cache(maxsize=16)
def _lexer(language: str) -> Lexer | None:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@lru_cache(maxsize=512)
def _style(token_type: str) -> str:
    found = "code"
    for prefix, style in _STYLES:
        if token_type == prefix or token_type.startswith(f"{prefix}."):
            found = f"code {style}"
    return found


def _highlighted(code: str, language: str) -> list[list[Part]]:
    lexer = _lexer(language) if language else None
    tokens = list(lexer.get_tokens(code)) if lexer is not None else []
    # A lexer that changes the code would hide some of it.
    if "".join(text for _, text in tokens) != code:
        return [[(line, "code")] for line in code.split("\n")]
    lines: list[list[Part]] = [[]]
    for token_type, text in tokens:
        style = _style(str(token_type))
        for at, piece in enumerate(text.split("\n")):
            if at:
                lines.append([])
            if piece:
                lines[-1].append((piece, style))
    return lines
