"""Markdown that grows, cut into blocks: what is finished is never looked at again.

A block is finished when the next one has begun on a whole line. Lists are cut at their items, code
at blank lines, and whatever gets longer than `LONGEST` at a line, a space, or just there; so the
work for a piece of text does not grow with the length of the whole. The cuts depend on the text
alone, not on the pieces in which it came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

LONGEST = 8_000
LINES_AT_ONCE = 60
_NESTING = 20
_BLANK = re.compile(r"(?:[ \t]*\n)+")
_FENCE = re.compile(r"( {0,3})(?:(`{3,})([^`\n]*)|(~{3,})([^\n]*))(\n|\Z)")

Kind = Literal[
    "markdown", "item", "table", "inline", "label", "code", "plain", "heading", "note", "rule"
]


@dataclass(eq=False, slots=True)
class Block:
    """A piece of a message that is rendered on its own; `gap` blank rows stand above it."""

    kind: Kind
    source: str
    gap: int = 0
    # The language of code, the role that a heading is of.
    info: str = ""
    # What stands small beside a heading.
    aside: str = ""
    # The number of an item of an ordered list.
    number: int | None = None

    def estimate(self, width: int) -> int:
        """How many rows it takes, guessed."""
        lines = self.source.rstrip("\n")
        return self.gap + 1 + lines.count("\n") + len(lines) // max(1, width)


@lru_cache(maxsize=1)
def parser() -> MarkdownIt:
    """Markdown without anything to click, to load or to hide.

    Links, images and HTML of a model stay visible as the text that they are.
    """
    from markdown_it import MarkdownIt

    made = MarkdownIt("commonmark", {"html": False, "maxNesting": _NESTING})
    made.enable(["table", "strikethrough"])
    return made.disable(
        ["link", "image", "autolink", "html_inline", "html_block", "reference", "entity"]
    )


def block_tokens(text: str) -> list[Token]:
    """The blocks alone, without a look at what stands in them."""
    from markdown_it.rules_block import StateBlock

    md = parser()
    state = StateBlock(text, md, {}, [])
    md.block.tokenize(state, state.line, state.lineMax)
    return state.tokens


def code_blocks(text: str) -> list[str]:
    """The source of all code blocks of a text."""
    tokens = block_tokens(text.replace("\r", ""))
    return [token.content for token in tokens if token.type in ("fence", "code_block")]


def too_deep(tokens: list[Token]) -> bool:
    """Whether the parser has given up: it hides what is nested deeper."""
    return any(token.level >= _NESTING - 1 for token in tokens)


class _Fence(NamedTuple):
    """How code began: what ends it, how far it stands to the right, its language."""

    end: re.Pattern[str]
    indent: int
    language: str


@dataclass(frozen=True, slots=True)
class _State:
    """What the text before a cut says about the text after it."""

    first: bool = True
    blank: bool = False
    # A block was cut through: no blank row where the text has none.
    joined: bool = False
    # The mark of the list that the item before belongs to, and the number of the next one.
    mark: str = ""
    number: int | None = None
    # The head of the table that was cut through.
    table: str = ""
    fence: _Fence | None = None
    inside_line: bool = False

    @property
    def gap(self) -> int:
        """Blank rows above what comes now."""
        return int(self.blank) if self.joined else int(not self.first)


class _Cut(NamedTuple):
    """Where a block ends, what holds behind it, and whether both are certain."""

    end: int
    after: _State
    block: Block | None
    finished: bool


class Splitter:
    """Cuts a text that grows; what it has called finished does not change any more."""

    def __init__(self, *, markdown: bool) -> None:
        self._cuts: Callable[[str, int, _State], list[_Cut]]
        self._cuts = _cuts if markdown else _plain_cuts
        self._tail = ""
        self._state = _State()
        self._finished = 0
        self.count = 0

    def feed(self, text: str) -> tuple[int, list[Block]]:
        """How many blocks of those known stay, and the blocks that come after them."""
        tail = self._tail + text.replace("\r", "")
        kept = self._finished
        blocks: list[Block] = []
        at = finished_at = 0
        state, finished = self._state, True
        while at < len(tail):
            for cut in self._cuts(tail, at, state):
                at, state = cut.end, cut.after
                finished = finished and cut.finished
                if cut.block is not None:
                    blocks.append(cut.block)
                if finished:
                    finished_at, self._state = at, state
                    self._finished = kept + len(blocks)
        self._tail = tail[finished_at:]
        self.count = kept + len(blocks)
        return kept, blocks


def _plain_cuts(text: str, at: int, state: _State) -> list[_Cut]:
    end, certain = _lines_end(text, at)
    source = text[at:end]
    block = Block("plain", source.removesuffix("\n") if certain else source.rstrip("\n"))
    return [_Cut(end, state, block, certain)]


def _cuts(text: str, at: int, state: _State) -> list[_Cut]:
    if state.fence is not None:
        return [_code_cut(text, at, state, state.fence)]
    if state.inside_line:
        return [_line_cut(text, at)]
    if found := _BLANK.match(text, at):
        return [_Cut(found.end(), replace(state, blank=True, table=""), None, True)]
    if found := _FENCE.match(text, at):
        return [_fence_cut(found, state)]
    return _markdown_cuts(text, at, state)


def _fence_cut(found: re.Match[str], state: _State) -> _Cut:
    marker = found[2] or found[4]
    words = (found[3] or found[5] or "").split()
    language = words[0][:40] if words else ""
    end = re.compile(f" {{0,3}}{re.escape(marker[0])}{{{len(marker)},}}[ \t]*(\n|\\Z)")
    after = _State(first=False, fence=_Fence(end, len(found[1]), language))
    return _Cut(found.end(), after, Block("label", language, state.gap), found[6] == "\n")


def _code_cut(text: str, at: int, state: _State, fence: _Fence) -> _Cut:
    end, certain = _lines_end(text, at, None if state.inside_line else fence.end)
    source = _dedented(text[at:end], fence.indent)
    block = Block("code", source.removesuffix("\n"), info=fence.language) if source else None
    over = None if state.inside_line and end == at else fence.end.match(text, end)
    if over is not None:
        return _Cut(over.end(), _State(first=False), block, over[1] == "\n")
    inside = certain and not text[at:end].endswith("\n")
    return _Cut(end, replace(state, inside_line=inside), block, certain)


def _dedented(code: str, indent: int) -> str:
    return re.sub(f"(?m)^ {{1,{indent}}}", "", code) if indent else code


def _lines_end(text: str, at: int, stop: re.Pattern[str] | None = None) -> tuple[int, bool]:
    """Where some lines end that are shown together, and whether that is certain."""
    position, lines = at, 0
    while position < len(text):
        if stop is not None and stop.match(text, position):
            return position, True
        newline = text.find("\n", position)
        end = len(text) if newline < 0 else newline + 1
        if end - at > LONGEST:
            return (position if position > at else at + LONGEST), True
        if newline < 0:
            return end, False
        lines += 1
        blank = not text[position:newline].strip()
        position = end
        if lines >= 2 * LINES_AT_ONCE or (lines >= LINES_AT_ONCE and blank):
            return position, True
    return position, False


def _line_cut(text: str, at: int) -> _Cut:
    newline = text.find("\n", at, at + LONGEST)
    if newline >= 0:
        block = Block("inline", text[at:newline]) if newline > at else None
        return _Cut(newline + 1, _State(first=False, joined=True), block, True)
    inside = _State(first=False, inside_line=True)
    if len(text) - at > LONGEST:
        end = _space(text, at)
        return _Cut(end, inside, Block("inline", text[at:end]), True)
    return _Cut(len(text), inside, Block("inline", text[at:]), False)


def _space(text: str, at: int) -> int:
    found = text.rfind(" ", at + LONGEST // 2, at + LONGEST)
    return found + 1 if found >= 0 else at + LONGEST


class _Unit(NamedTuple):
    """A block of the top level or an item of a list there, and the line it begins on."""

    line: int
    type: str
    mark: str = ""
    number: int | None = None


def _units(tokens: list[Token]) -> Iterator[_Unit]:
    mark, number = "", None
    for token in tokens:
        if token.nesting < 0 or token.map is None:
            continue
        if token.level == 0 and token.type.endswith("_list_open"):
            mark, number = token.type + token.markup, None
            if token.type.startswith("ordered"):
                number = int(token.attrGet("start") or 1) if token.attrGet("start") != 0 else 0
        elif token.level == 0:
            yield _Unit(token.map[0], token.type)
        elif token.level == 1 and token.type == "list_item_open":
            yield _Unit(token.map[0], token.type, mark, number)
            number = None if number is None else number + 1


def _markdown_cuts(text: str, at: int, state: _State) -> list[_Cut]:
    window = text[at : at + LONGEST]
    full = len(text) - at > LONGEST
    if full:
        newline = window.rfind("\n")
        if newline < 0:
            end = _space(text, at)
            after = _State(first=False, inside_line=True)
            return [_Cut(end, after, Block("markdown", text[at:end], state.gap), True)]
        window = window[: newline + 1]
    head = state.table
    units = list(_units(block_tokens(head + window)))
    if head:
        units = [unit._replace(line=max(0, unit.line - 2)) for unit in units]
        if len(units) > 1 and units[1].line == 0:
            return _markdown_cuts(text, at, replace(state, table=""))
    if not units:
        return [_Cut(at + len(window), state, None, False)]
    starts = [0, *(found.end() for found in re.finditer("\n", window))]
    whole_lines = len(starts) - 1
    cuts = []
    for index, unit in enumerate(units):
        following = units[index + 1] if index + 1 < len(units) else None
        if index and (unit.type == "fence" or (following is None and full)):
            break
        start = starts[unit.line] if index else 0
        end = starts[following.line] if following is not None else len(window)
        source = window[start:end]
        certain = full
        if following is not None:
            # A table is one only with its second line.
            needed = following.line + (following.type == "table_open")
            certain = needed < whole_lines
        block, state = _block_of(unit, source, state, cut_through=following is None and full)
        cuts.append(_Cut(at + end, state, block, certain))
    return cuts


def _block_of(
    unit: _Unit, source: str, state: _State, *, cut_through: bool
) -> tuple[Block, _State]:
    bare = source.rstrip(" \t\n")
    blank = source[len(bare) :].count("\n") > 1
    after = _State(first=False, blank=blank, joined=cut_through)
    if unit.type == "list_item_open":
        goes_on = unit.mark == state.mark
        number = state.number if goes_on else unit.number
        gap = int(state.blank) if goes_on else state.gap
        following = None if number is None else number + 1
        after = replace(after, mark=unit.mark, number=following)
        return Block("item", bare, gap, number=number), after
    if state.table:
        source_block = Block("table", state.table + bare, state.gap)
        return source_block, replace(after, table=state.table if cut_through else "")
    if unit.type == "table_open" and cut_through:
        lines = bare.split("\n", 2)
        after = replace(after, table="\n".join(lines[:2]) + "\n")
    return Block("markdown", bare, state.gap), after
