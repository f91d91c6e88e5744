"""The rows of a log as they are drawn: text, gutter, and what is marked in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, Self

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.troubleshooting.symptom import Symptom
from torbiz_tui.widgets.log_layout import LogLayout, Row
from torbiz_tui.widgets.log_rows import Piece, Span, overlaid, shaded, visible
from torbiz_tui.widgets.log_styles import CSS, IN_16_COLOURS, SOURCES, STYLES

_LONGEST_LABEL = 12


class LogDrawing(ScrollView, can_focus=True, inherit_bindings=False):
    """Draws the page of a `LogLayout`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"log--{name}" for name in STYLES}
    DEFAULT_CSS = CSS

    explain: Callable[[str], Symptom | None] | None = None
    """What a line means, for the gutter; asked for lines in view only. Set it before a view."""
    labels: Callable[[RawLine], str] | None = None
    """The short name of the source that a line is from. Set it before a view."""

    def __init__(
        self,
        *,
        empty_text: str = "Nothing logged yet.",
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self._empty_text = empty_text
        self._layout_of = LogLayout()
        self._label_cells = 0
        self._painting = False
        self._chosen: Selection | None = None
        self._styles: dict[str, Style] = {}
        self._strips: dict[tuple[object, ...], Strip] = {}
        # The last picture and its region, until something is another.
        self._picture: tuple[Region, list[Strip]] | None = None

    @property
    def wrapped(self) -> bool:
        """Whether long lines are broken."""
        return self._layout_of.wrapped

    def set_empty_text(self, text: str) -> None:
        """What to say while there is nothing."""
        if text != self._empty_text:
            self._empty_text = text
            self.refresh()

    @property
    def _lead(self) -> int:
        """The cells before a line's text."""
        return 1 + (self.explain is not None) + (self._label_cells and self._label_cells + 1)

    def _label(self, line: RawLine) -> str:
        return self.labels(line)[:_LONGEST_LABEL] if self.labels is not None else ""

    def _fit(self) -> None:
        """Take the size that there is."""
        region, layout = self.scrollable_content_region, self._layout_of
        size = (max(1, region.width - self._lead), region.height)
        if region.area and size != (layout.width, layout.height):
            layout.resize(*size, wrapped=layout.wrapped)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows for the screen, without what only the mouse asks for.

        Made without Textual's cache of styles, which takes twice as long as the rows do: there is
        no border, no padding, and every row is of the full width.
        """
        if self._picture is not None and self._picture[0] == crop:
            return self._picture[1]
        # The first picture is made before the size is told.
        self._fit()
        self._look_at_marks()
        self._painting = True
        try:
            # Beside the rows there is the scrollbar, or the room for it.
            width, whole = self.scrollable_content_region.width, self.size.width
            strips = [self._line_strip(y, width, whole) for y in crop.line_range]
        finally:
            self._painting = False
        background = self.background_colors[1]
        for line_filter in self.get_line_filters():
            strips = [strip.apply_filter(line_filter, background) for strip in strips]
        strips = [strip.crop(*crop.column_span) for strip in strips]
        self._picture = crop, strips
        return strips

    def refresh(
        self,
        *regions: Region,
        repaint: bool = True,
        layout: bool = False,
        recompose: bool = False,
    ) -> Self:
        """Make a new picture."""
        self._picture = None
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def _look_at_marks(self) -> None:
        """See, once for a picture, what is marked in the rows."""
        self._chosen = self.text_selection

    def render_line(self, y: int) -> Strip:
        """One row of the view."""
        width = self.scrollable_content_region.width
        return self._line_strip(y, width, width)

    def _line_strip(self, y: int, width: int, whole: int) -> Strip:
        """A row of text, `width` cells at most, filled up to the `whole` width."""
        page = self._layout_of.page()
        base = self._style("")
        if y < len(page):
            return self._row_strip(page[y], width, whole, base)
        if page:
            blank = Strip.blank(width, base).extend_cell_length(whole, self._beside())
            # Below the end the mouse is behind the last row.
            return blank if self._painting else blank.apply_offsets(width, page[-1].at)
        text = self._empty_text if y == 0 else ""
        strip = Strip([Segment(" ", base), Segment(text, self._style("empty"))])
        return strip.adjust_cell_length(width, base).extend_cell_length(whole, self._beside())

    def _row_strip(self, row: Row, width: int, whole: int, base: Style) -> Strip:
        left = 0 if self.wrapped else int(self.scroll_x)
        start, text = visible(
            row.shown, self._layout_of.line_width, row.part, left, max(0, width - self._lead)
        )
        lead = [*self._before(row)]
        spans = self._spans(row, start, start + len(text))
        key = (row.shown, row.part, left, width, whole, self._layout_of.width, *lead, *spans)
        if self._painting and (kept := self._strips.get(key)) is not None:
            return kept
        pieces = [*lead, *overlaid(shaded(row.shown, start, text), start, spans)]
        cells = sum(len(one) if one.isascii() else cell_len(one) for one, _ in pieces)
        segments = [Segment(one, self._style(names)) for one, names in pieces if one]
        if cells < width:
            segments.append(Segment(" " * (width - cells), base))
        strip = Strip(segments, max(cells, width))
        if cells > width:
            strip = strip.crop(0, width)
        strip = strip.extend_cell_length(whole, self._beside())
        if not self._painting:
            return strip.apply_offsets(start - sum(len(one) for one, _ in lead), row.at)
        self._strips[key] = strip
        # A strip is costly to keep, and only those in view are asked for again.
        if len(self._strips) > 3 * self._layout_of.height:
            del self._strips[next(iter(self._strips))]
        return strip

    def _beside(self) -> Style:
        """The style of the room for the scrollbar."""
        return Style(bgcolor=self._style("").bgcolor)

    def _before(self, row: Row) -> Iterator[Piece]:
        """What stands before a row's text."""
        yield self._gutter(row)
        if self.explain is not None:
            symptom = self.symptom_of(row) if not row.part else None
            yield ("!", "symptom") if symptom is not None else (" ", "")
        if self._label_cells:
            label = self._label(row.line) if not row.part else ""
            number = sum(label.encode()) % SOURCES
            yield f"{label:{self._label_cells}} ", f"source-{number}"

    def _gutter(self, row: Row) -> Piece:
        """The mark before a row."""
        del row
        return " ", ""

    def _spans(self, row: Row, start: int, end: int) -> list[Span]:
        """What is marked in a row's line; `start` to `end` of it is in view."""
        span = None if self._chosen is None else self._chosen.get_span(row.at)
        if span is None:
            return []
        return [(max(start, span[0]), end if span[1] == -1 else min(end, span[1]), "chosen")]

    def symptom_of(self, row: Row) -> Symptom | None:
        """The known symptom that a row's line shows."""
        if self.explain is None:
            return None
        shown = row.shown
        if not shown.examined:
            shown.examined, shown.symptom = True, self.explain(shown.source)
        return shown.symptom

    def _style(self, names: str) -> Style:
        style = self._styles.get(names)
        if style is None:
            style = self.rich_style
            for name in names.split():
                if name == "chosen":
                    style += self.screen.get_component_rich_style("screen--selection")
                    continue
                component = f"log--{name}"
                own = self.get_component_rich_style(component, partial=True)
                if own.color is not None:
                    # Only the full style has a colour that was found by the background.
                    own += Style(color=self.get_component_rich_style(component).color)
                if name in IN_16_COLOURS and self.app.console.color_system == "standard":
                    own += Style(color=IN_16_COLOURS[name][not self.app.current_theme.dark])
                style += own
            self._styles[names] = style
        return style

    def notify_style_update(self) -> None:
        """Other colours: nothing that was made with the old ones is kept."""
        super().notify_style_update()
        self._styles.clear()
        self._strips.clear()
        self._picture = None
