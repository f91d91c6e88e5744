"""What somebody reads: a log or several, through a filter, as a view that goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.background_view import BackgroundView
from torbiz_tui.logs.filter_words import filter_from, told
from torbiz_tui.logs.filtered_view import FilteredView
from torbiz_tui.logs.filtering import Filter
from torbiz_tui.logs.finding import first_since
from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.merged_view import MergedView
from torbiz_tui.logs.sources import LogSource
from torbiz_tui.logs.views import LineView, WholeView


class Reading:
    """One log, or several merged by time; nothing is watched and nobody waits in here.

    Whoever shows it calls `view.look()` when one of the files has changed.
    """

    def __init__(
        self, sources: Sequence[LogSource], on_change: Callable[[], None] | None = None
    ) -> None:
        """Open the logs; `on_change` is called in threads that count, filter and merge."""
        self.sources = tuple(sources)
        self._on_change = on_change
        self._series = {source.name: LogSeries(source.file) for source in self.sources}
        self.filter_text = ""
        """The filter as it was written, also while it is off."""
        self.filter_off = False
        self._wanted = Filter()
        # Of all lines, and of those that fit: so that going from one to the other is quick.
        self._views: dict[Filter, LineView] = {}
        if not self.merged:
            for series in self._series.values():
                series.start_index(on_change)
        self.view = self._view_of(self._wanted)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the logs."""
        return tuple(source.name for source in self.sources)

    @property
    def merged(self) -> bool:
        """Whether there are several."""
        return len(self.sources) != 1

    @property
    def title(self) -> str:
        """The log's file, or the names of several logs."""
        return " + ".join(self.names) if self.merged else self.sources[0].file.name

    @property
    def wanted(self) -> Filter:
        """The filter that is in force."""
        return Filter() if self.filter_off else self._wanted

    @property
    def size(self) -> int:
        """The bytes of all files, with what was rotated away."""
        return sum(series.size for series in self._series.values())

    @property
    def problem(self) -> str:
        """Why one of the logs cannot be read; empty when all can."""
        return next(
            (
                f"{series.path.name}: {series.problem}"
                for series in self._series.values()
                if series.problem
            ),
            "",
        )

    @property
    def given_up(self) -> TorbizError | None:
        """Why the filter was given up, if it was."""
        return self.view.problem if isinstance(self.view, BackgroundView) else None

    @property
    def doing(self) -> str:
        """What goes on in the background, and how far it is; empty when nothing does."""
        if self.view.complete:
            return ""
        what = "merging" if self.merged else "filtering"
        if isinstance(self.view, WholeView):
            what = "counting lines"
        # Less than everything is not everything.
        return f"{what} {min(99, int(self.view.progress * 100))}%"

    @property
    def cut(self) -> bool:
        """Whether only the last lines of a merge are there."""
        return isinstance(self.view, MergedView) and self.view.cut

    def label(self, line: RawLine) -> str:
        """The name of the log that a line is from."""
        return self.names[line.source] if line.source < len(self.names) else ""

    def extend(self, sources: Sequence[LogSource]) -> None:
        """Merge other logs, too; makes another view, in which lines stay what they were."""
        self.sources = (*self.sources, *sources)
        self._series |= {source.name: LogSeries(source.file) for source in sources}
        self._close_views(keep=())
        self.view = self._view_of(self.wanted)

    # The filter

    def told_filter(self, now: datetime | None = None) -> str:
        """What the filter lets through, in words; empty without one."""
        text = told(self._wanted, now)
        return f"{text} (off)" if text and self.filter_off else text

    def use_filter(self, text: str) -> None:
        """Make another view of what the text says. Raises TorbizError, and then changes nothing."""
        wanted = filter_from(text)
        self.filter_text = text.strip()
        self.filter_off = False
        self._wanted = wanted
        self._close_views(keep=(Filter(), wanted))
        self.view = self._view_of(wanted)

    def toggle_filter(self) -> None:
        """Show all lines, or again what the filter lets through."""
        self.filter_off = not self.filter_off
        self.view = self._view_of(self.wanted)

    def rest(self) -> None:
        """Nobody looks at it now: leave off filtering and merging."""
        for view in self._views.values():
            if isinstance(view, BackgroundView):
                view.rest()

    def resume(self) -> None:
        """Go on with what is shown."""
        if isinstance(self.view, BackgroundView):
            self.view.resume()

    def _view_of(self, wanted: Filter) -> LineView:
        self.rest()
        view = self._views.get(wanted)
        if view is None:
            view = self._views[wanted] = self._make_view(wanted)
        elif isinstance(view, BackgroundView):
            view.resume()
        return view

    def _make_view(self, wanted: Filter) -> LineView:
        if self.merged:
            return MergedView(self._series, wanted, on_change=self._on_change)
        (source,) = self.sources
        series = self._series[source.name]
        if wanted.empty:
            return WholeView(series)
        return FilteredView(series, wanted, source=source.name, on_change=self._on_change)

    def _close_views(self, *, keep: Sequence[Filter]) -> None:
        for wanted in [one for one in self._views if one not in keep]:
            self._views.pop(wanted).close()

    # Going somewhere

    def line_since(self, moment: datetime) -> RawLine | None:
        """The first line of a moment or later; None when all are earlier. Call it in a thread."""
        return first_since(self.view, moment)

    def close(self) -> None:
        """End what runs, close the files."""
        self._close_views(keep=())
        for series in self._series.values():
            series.close()
