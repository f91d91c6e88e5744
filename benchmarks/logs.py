"""The Logs screen next to other viewers of logs, in one run, each in a pseudo-terminal.

    python benchmarks/logs.py [--sizes 25,250,1000] [--rounds 5] [--toolong VENV/bin/tl]
                              [--only open,memory,search,delay,flood] [--viewers torbiz-tui,lnav]

The viewers: this program, toolong, `less +F`, lnav, and an app of Textual's RichLog alone, at
120x36. Measured are the seconds until the last line of a file is shown; the memory once nothing
is left to do; the seconds to find a string that stands once, near the beginning (where this program
comes last, searching upwards from the end) or near the end, also by ripgrep, grep and the engine
alone; the delay from write to screen; and a flood of lines with a key pressed every 200 ms: lines
per second held, and seconds from the key to what it changes. What a viewer does is seen in what it
writes, so nothing has to be drawn meanwhile. A viewer that needs
longer than `--limit` is left out of that row, and of bigger files. What is not installed is named.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.log_side.made_logs import LAST_SEEN, RARE, RARE_SEEN, write_log  # noqa: E402
from benchmarks.log_side.shown import Flooded, Shown  # noqa: E402
from benchmarks.log_side.viewers import OURS, Viewer, viewers  # noqa: E402
from torbiz_tui.logs.log_series import LogSeries  # noqa: E402
from torbiz_tui.logs.searching import Query, Search  # noqa: E402
from torbiz_tui.logs.views import WholeView  # noqa: E402

PARTS = ("open", "memory", "search", "delay", "flood")
RATES = (20_000, 50_000)
FLOOD_S = 6.0
MARKS = 20
AGAIN_S = 0.2
SLOW_S = 5.0
SMALL = "the app's own start"
OPEN_MORE_S, MEMORY_MB, KEY_S, HELD, SEARCH_RATIO = 0.3, 150.0, 0.050, 0.97, 2.0


@dataclass
class Bench:
    """What is measured with, and the rows that came out."""

    folder: Path
    viewers: list[Viewer]
    rounds: int
    limit_s: float
    rows: list[tuple[str, dict[str, float | None], str]] = field(default_factory=list)
    aims: list[tuple[str, float | None, float, str]] = field(default_factory=list)

    def log(self, name: str) -> Path:
        """The log of one size: each has a home of its own."""
        return self.folder / name / "logs" / "petals_seeder.log"

    def fresh(self, name: str, megabytes: int) -> Path:
        """A log of that size, made if it is not there."""
        file = self.log(name)
        if not file.exists():
            file.parent.mkdir(parents=True)
            write_log(file, megabytes * 1_000_000)
        return file

    @contextmanager
    def shown(self, viewer: Viewer, file: Path) -> Iterator[tuple[Shown, float | None]]:
        """A viewer on a file, and the seconds until it showed the last line."""
        shown = Shown(viewer, file, self.folder)
        try:
            yield shown, shown.wait(LAST_SEEN, self.limit_s)
        finally:
            shown.close()

    def row(self, title: str, unit: str, values: dict[str, float | None]) -> None:
        """Keep a row, and print it."""
        self.rows.append((title, values, unit))
        ours = values.get(OURS)
        cells = []
        for viewer in self.viewers:
            value = values.get(viewer.name)
            cell = "-" if value is None else f"{value:.3g}" if value < 100 else f"{value:,.0f}"
            if viewer.name != OURS and value is not None and ours:
                cell += f" ({value / ours:.1f}x)"
            cells.append(f"{cell:>16}")
        print(f"{title:<34}{unit:>8}{''.join(cells)}", flush=True)


def median(values: Sequence[float]) -> float | None:
    """The median, or None of nothing."""
    return statistics.median(values) if values else None


def high(values: Sequence[float], share: float) -> float | None:
    """The value that a share of all does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else None


def measure_open(bench: Bench, sizes: Sequence[int]) -> None:
    """Seconds until the last line is shown, the viewers in turn."""
    slow: set[str] = set()
    own: float | None = None
    for name, size in [(SMALL, 0), *((f"{size} MB", size) for size in sizes)]:
        file = bench.fresh(name, size)
        taken: dict[str, list[float]] = {viewer.name: [] for viewer in bench.viewers}
        for _ in range(bench.rounds):
            for viewer in bench.viewers:
                if viewer.name in slow or size * 1_000_000 > viewer.largest:
                    continue
                # What takes that long is measured once.
                if taken[viewer.name] and taken[viewer.name][0] > SLOW_S:
                    continue
                with bench.shown(viewer, file) as (_shown, seconds):
                    if seconds is None:
                        slow.add(viewer.name)
                    else:
                        taken[viewer.name].append(seconds)
        times = {viewer: median(values) for viewer, values in taken.items()}
        bench.row(f"last line of {name}" if size else name, "s", times)
        if not size:
            own = times.get(OURS)
        elif own is not None:
            seconds = times.get(OURS)
            more = None if seconds is None else seconds - own
            bench.aims.append((f"{name}: more than the own start, s", more, OPEN_MORE_S, "at most"))


def measure_memory(bench: Bench, sizes: Sequence[int]) -> None:
    """Megabytes once the viewer has nothing left to do."""
    for size in sizes:
        file = bench.fresh(f"{size} MB", size)
        resident: dict[str, float | None] = {}
        own: dict[str, float | None] = {}
        for viewer in bench.viewers:
            if size * 1_000_000 > viewer.largest:
                continue
            with bench.shown(viewer, file) as (shown, seconds):
                if seconds is None:
                    continue
                shown.rest()
                rss, uss = shown.memory()
                resident[viewer.name], own[viewer.name] = rss / 1e6, uss / 1e6
        bench.row(f"memory at {size} MB, resident", "MB", resident)
        bench.row("  of it its own", "MB", own)
        bench.aims.append((f"memory at {size} MB", resident.get(OURS), MEMORY_MB, "at most"))


def measure_search(bench: Bench, size: int) -> None:
    """Seconds until a rare line is shown, typed at the end when the viewer is at rest."""
    file = bench.fresh(f"{size} MB", size)
    for place, text in RARE.items():
        what = f"rare string near {place} of {size} MB"
        found = {
            viewer.name: searched(bench, viewer, file, text)
            for viewer in bench.viewers
            if viewer.search and size * 1_000_000 <= viewer.largest
        }
        bench.row(what, "s", found)
        times = {
            "engine": engine_time(file, text),
            # A pattern in small letters matches any case in the program, too.
            "ripgrep": command_time(["rg", "-n", "-F", "-S", text, str(file)]),
            "grep": command_time(["grep", "-n", "-F", "-i", text, str(file)]),
        }
        told = (f"{name} {'-' if one is None else f'{one:.3f} s'}" for name, one in times.items())
        print(f"  without a screen: {', '.join(told)}", flush=True)
        ripgrep = times["ripgrep"]
        for name, one in (("screen", found.get(OURS)), ("engine", times["engine"])):
            ratio = None if one is None or ripgrep is None else one / ripgrep
            bench.aims.append((f"{what}: {name} / ripgrep", ratio, SEARCH_RATIO, "at most"))


def searched(bench: Bench, viewer: Viewer, file: Path, text: str) -> float | None:
    """Seconds from Enter to the line, None when that was not shown in time."""
    with bench.shown(viewer, file) as (shown, seconds):
        if seconds is None:
            return None
        shown.rest()
        begun = time.monotonic()
        for keys, mark in viewer.search:
            shown.send(keys.format(text))
            # It waits a moment before it types.
            begun = begun if "\r" not in keys else time.monotonic()
            if mark and shown.wait(mark, 5.0) is None:
                return None
        while time.monotonic() < begun + bench.limit_s:
            if shown.wait(RARE_SEEN, AGAIN_S if viewer.again else bench.limit_s) is not None:
                return time.monotonic() - begun
            shown.send(viewer.again)
    return None


def command_time(command: list[str]) -> float | None:
    """The best of three runs; None where it is not installed."""
    if shutil.which(command[0]) is None:
        return None
    times = []
    for _ in range(3):
        begun = time.monotonic()
        # Into a pipe: grep ends at the first match when nobody reads it.
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.monotonic() - begun)
    return min(times)


def engine_time(file: Path, text: str) -> float:
    """The best of three searches of the program's engine, upwards from the end."""
    series = LogSeries(file)
    times = []
    for _ in range(3):
        search = Search(WholeView(series), Query(text))
        begun = time.monotonic()
        assert search.find(None, -1) is not None
        times.append(time.monotonic() - begun)
        search.close()
    series.close()
    return min(times)


def measure_delay(bench: Bench) -> None:
    """Milliseconds from the write of a single line to the screen."""
    chosen = random.Random(7)
    half: dict[str, float | None] = {}
    most: dict[str, float | None] = {}
    for viewer in bench.viewers:
        file = bench.fresh(f"delay {viewer.name}", 1)
        with bench.shown(viewer, file) as (shown, seconds):
            if seconds is None:
                continue
            shown.rest()
            times: list[float] = []
            for _ in range(MARKS):
                mark = "".join(chosen.choice(string.ascii_uppercase) for _ in range(12)).encode()
                if (taken := shown.append(mark, 5.0)) is not None:
                    times.append(taken * 1000)
                time.sleep(chosen.uniform(0.05, 0.3))
            half[viewer.name], most[viewer.name] = median(times), high(times, 0.95)
    bench.row("write to screen, median", "ms", half)
    bench.row("  95 of 100", "ms", most)


def measure_flood(bench: Bench, rate: int) -> None:
    """A flood of so many lines a second, and keys."""
    floods: dict[str, Flooded] = {}
    for viewer in bench.viewers:
        file = bench.fresh(f"flood {rate} {viewer.name}", 1)
        with bench.shown(viewer, file) as (shown, seconds):
            if seconds is not None:
                shown.rest()
                floods[viewer.name] = shown.flood(rate, FLOOD_S, bench.limit_s)
        file.unlink()

    def each(value: Callable[[Flooded], float | None]) -> dict[str, float | None]:
        return {name: value(flooded) for name, flooded in floods.items()}

    def ms(value: float | None) -> float | None:
        return None if value is None else value * 1000

    title = f"{rate:,} lines/s"
    bench.row(f"{title}: held", "lines/s", each(lambda flooded: flooded.lines_per_s))
    bench.row("  key to screen, median", "ms", each(lambda one: ms(median(one.keys))))
    bench.row("  95 of 100", "ms", each(lambda one: ms(high(one.keys, 0.95))))
    bench.row("  longest", "ms", each(lambda one: ms(max(one.keys, default=None))))
    bench.row("  keys without an answer", "", each(lambda one: float(one.unanswered)))
    bench.row("  write to screen, 95 of 100", "ms", each(lambda one: ms(high(one.delays, 0.95))))
    ours = floods.get(OURS)
    if ours is None:
        return
    held = None if ours.lines_per_s is None else ours.lines_per_s / ours.written_per_s
    bench.aims.append((f"{title}: of what was written", held, HELD, "at least"))
    bench.aims.append((f"{title}: key, 95 of 100, s", high(ours.keys, 0.95), KEY_S, "at most"))


def show_aims(bench: Bench) -> bool:
    """Print what was wanted; whether all of it was reached."""
    met = True
    print()
    for what, value, aim, word in bench.aims:
        good = value is not None and (value <= aim if word == "at most" else value >= aim)
        met = met and good
        shown = "-" if value is None else f"{value:.3g}"
        print(f"{what:<52}{shown:>8}  (aim: {word} {aim:g}){'' if good else '  MISSED'}")
    return met


def main() -> int:
    """Measure and print; exit 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default="25,250,1000", help="megabytes")
    parser.add_argument("--rounds", type=int, default=5, help="of opening each file")
    parser.add_argument("--toolong", type=Path, help="its command, tl (default: found in PATH)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--viewers", default="", help="only these; torbiz-tui is always there")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds that are waited")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    known, missing = viewers(options.toolong)
    chosen = {OURS, *options.viewers.split(",")} if options.viewers else None
    known = [viewer for viewer in known if chosen is None or viewer.name in chosen]
    for name in missing:
        print(f"left out, not installed: {name}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), known, options.rounds, options.limit)
        heading = "".join(f"{viewer.name:>16}" for viewer in known)
        print(f"{'(…x: so many times ours)':<34}{'':>8}{heading}")
        wanted = set(options.only.split(","))
        if "open" in wanted:
            measure_open(bench, sizes)
        if "memory" in wanted:
            measure_memory(bench, sizes)
        if "search" in wanted:
            measure_search(bench, sizes[-1])
        if "delay" in wanted:
            measure_delay(bench)
        for rate in RATES if "flood" in wanted else ():
            measure_flood(bench, rate)
        return 0 if show_aims(bench) else 1


if __name__ == "__main__":
    sys.exit(main())
