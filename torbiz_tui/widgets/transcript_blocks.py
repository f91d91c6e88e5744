"""What a block of a message looks like."""

from __future__ import annotations

from torbiz_tui.logs.sanitizing import sanitize_line, sanitize_text
from torbiz_tui.widgets.code_rows import code_rows, label_rows
from torbiz_tui.widgets.markdown_blocks import Block
from torbiz_tui.widgets.styled_rows import Row, plain_rows, size_of, wrapped


def rows_of(block: Block, width: int) -> list[Row]:
    """A block as rows of at most `width` cells."""
    return [Row([])] * block.gap + _own_rows(block, width)


def _own_rows(block: Block, width: int) -> list[Row]:
    source = block.source
    match block.kind:
        case "plain":
            return plain_rows(sanitize_text(source), width)
        case "heading":
            aside = [(f"  {block.aside}", "note")] if block.aside else []
            return wrapped([(sanitize_line(source), f"heading-{block.info}"), *aside], width)
        case "note":
            return plain_rows(sanitize_text(source), width, "note")
        case "rule":
            title = sanitize_line(source)
            return [_rule(title, width)]
        case "label":
            return label_rows(source, width)
        case "code":
            return code_rows(source, block.info, width)
    # The parser is costly to import, and needed only from here on.
    from torbiz_tui.widgets.markdown_rows import continued_table_rows, inline_rows, markdown_rows

    match block.kind:
        case "table":
            return continued_table_rows(source, width)
        case "inline":
            return inline_rows(source, width)
        case _:
            return markdown_rows(source, width, number=block.number)


def _rule(title: str, width: int) -> Row:
    if not title:
        return Row([("─" * width, "rule")], 1)
    first = wrapped([(f"── {title} ", "rule")], width)[0]
    return Row([*first.parts, ("─" * max(0, width - size_of(first.text)), "rule")])
