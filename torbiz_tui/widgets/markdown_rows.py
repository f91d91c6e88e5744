"""Blocks of Markdown as rows of styled text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torbiz_tui.logs.sanitizing import sanitize_line, sanitize_text
from torbiz_tui.widgets.code_rows import code_rows, label_rows
from torbiz_tui.widgets.markdown_blocks import parser, too_deep
from torbiz_tui.widgets.styled_rows import Part, Row, plain_rows, wrapped
from torbiz_tui.widgets.table_rows import table_rows

if TYPE_CHECKING:
    from markdown_it.token import Token

_BULLETS = ("•", "◦", "▪")
_QUOTE_BAR = "▌ "
_INLINE = {"strong_open": "strong", "em_open": "emphasis", "s_open": "struck"}


def markdown_rows(source: str, width: int, *, number: int | None = None) -> list[Row]:
    """A text of blocks; `number` is that of its first item when it is one of an ordered list."""
    text = sanitize_text(source)
    tokens = parser().parse(text)
    if too_deep(tokens):
        return plain_rows(text, width)
    return _Renderer(tokens, number).blocks(0, len(tokens), width)


def continued_table_rows(source: str, width: int) -> list[Row]:
    """A table whose first row, the head, has been shown before."""
    tokens = parser().parse(sanitize_text(source))
    if not tokens or tokens[0].type != "table_open":
        return markdown_rows(source.split("\n", 2)[-1], width)
    end = _end(tokens, 0)
    rows = table_rows(_cells(tokens[1:end]), width, with_head=False)
    return rows + _Renderer(tokens[end + 1 :], None).blocks(0, len(tokens) - end - 1, width)


def inline_rows(source: str, width: int) -> list[Row]:
    """A piece out of the middle of a line."""
    tokens = parser().parseInline(sanitize_line(source))
    return [row for line in inline_lines(tokens[0]) for row in wrapped(line, width)]


def inline_lines(token: Token) -> list[list[Part]]:
    """What stands in a block, line by line."""
    lines: list[list[Part]] = [[]]
    styles: list[str] = []
    for child in token.children or []:
        if child.type in ("softbreak", "hardbreak"):
            # A model that ends a line means it: verses, addresses, lists without marks.
            lines.append([])
        elif child.type in _INLINE:
            styles.append(_INLINE[child.type])
        elif child.nesting < 0:
            if styles:
                styles.pop()
        elif child.content:
            own = ["inline-code"] if child.type == "code_inline" else []
            text = child.content.replace("\t", " ")
            lines[-1].append((text, " ".join([*styles, *own])))
    return lines


def _end(tokens: list[Token], start: int) -> int:
    """The token that closes the one at `start`; itself when there is nothing to close."""
    if tokens[start].nesting != 1:
        return start
    level = tokens[start].level
    at = start + 1
    while tokens[at].level != level or tokens[at].nesting != -1:
        at += 1
    return at


def _styled(lines: list[list[Part]], style: str) -> list[list[Part]]:
    return [[(text, f"{style} {own}".strip()) for text, own in line] for line in lines]


def _indented(rows: list[Row], first: Part, rest: Part) -> list[Row]:
    return [
        Row([rest if at else first, *row.parts], row.lead + 1, row.joint)
        for at, row in enumerate(rows)
    ]


def _cells(tokens: list[Token]) -> list[list[tuple[list[list[Part]], str]]]:
    """The cells of a table, row by row: their lines and how they are aligned."""
    rows: list[list[tuple[list[list[Part]], str]]] = []
    for at, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            align = str(token.attrGet("style") or "").removeprefix("text-align:")
            lines = inline_lines(tokens[at + 1])
            rows[-1].append((_styled(lines, "strong") if token.tag == "th" else lines, align))
    return rows


class _Renderer:
    """Walks the tokens of one block."""

    def __init__(self, tokens: list[Token], number: int | None) -> None:
        self._tokens = tokens
        self._number = number

    def blocks(self, start: int, stop: int, width: int, depth: int = 0) -> list[Row]:
        """The rows of blocks that follow each other."""
        rows: list[Row] = []
        at, before = start, -1
        while at < stop:
            end = _end(self._tokens, at)
            if rows and self._apart(before, at, depth):
                rows.append(Row([]))
            rows += self._block(at, end, max(1, width), depth)
            before, at = at, end + 1
        return rows

    def _apart(self, before: int, at: int, depth: int) -> bool:
        """Whether a blank row stands between: in lists where the source has one."""
        if not depth:
            return True
        above, below = self._tokens[before].map, self._tokens[at].map
        return above is not None and below is not None and below[0] > above[1]

    def _block(self, at: int, end: int, width: int, depth: int) -> list[Row]:
        token = self._tokens[at]
        kind = token.type
        if kind in ("paragraph_open", "heading_open"):
            lines = inline_lines(self._tokens[at + 1])
            if kind == "heading_open":
                lines = _styled(lines, f"h{min(3, int(token.tag[1:]))}")
            return [row for line in lines for row in wrapped(line, width)]
        if kind in ("fence", "code_block"):
            words = token.info.split()
            language = words[0][:40] if words else ""
            code = token.content.removesuffix("\n")
            return label_rows(language, width) + (code_rows(code, language, width) if code else [])
        if kind == "blockquote_open":
            rows = self.blocks(at + 1, end, width - len(_QUOTE_BAR), depth)
            bar = (_QUOTE_BAR, "quote-bar")
            quoted = [
                row._replace(parts=[(text, f"quote {style}") for text, style in row.parts])
                for row in rows
            ]
            return _indented(quoted, bar, bar)
        if kind.endswith("_list_open"):
            return self._list(at, end, width, depth)
        if kind == "hr":
            return [Row([("─" * width, "rule")], 1, None)]
        if kind == "table_open":
            return table_rows(_cells(self._tokens[at + 1 : end]), width)
        return plain_rows(token.content, width)

    def _list(self, at: int, end: int, width: int, depth: int) -> list[Row]:
        rows: list[Row] = []
        number: int | None = None
        if self._tokens[at].type.startswith("ordered"):
            start = self._tokens[at].attrGet("start")
            number = 1 if start is None else int(start)
            if at == 0 and self._number is not None:
                number = self._number
        item, before = at + 1, -1
        while item < end:
            item_end = _end(self._tokens, item)
            if rows and self._item_apart(before, item):
                rows.append(Row([]))
            if number is None:
                mark = f" {_BULLETS[min(depth, len(_BULLETS) - 1)]} "
            else:
                mark = f"{number:>2}. "
                number += 1
            children = self.blocks(item + 1, item_end, width - len(mark), depth + 1) or [Row([])]
            rows += _indented(children, (mark, "bullet"), (" " * len(mark), ""))
            before, item = item_end, item_end + 1
        return rows

    def _item_apart(self, before: int, at: int) -> bool:
        """Whether the source has a blank line above an item."""
        last = before
        while self._tokens[last].map is None:
            last -= 1
        below, above = self._tokens[at].map, self._tokens[last].map
        return below is not None and above is not None and below[0] > above[1]
