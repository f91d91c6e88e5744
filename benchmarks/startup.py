"""Time to the first full paint, next to a minimal Textual app, in turn in one run.

    python benchmarks/startup.py [--runs 9] [--size 120x36]

Both are started in a pseudo-terminal. The first full paint is when the emulated screen shows the
four tabs and the footer, and the program has not written for 50 ms: the time of its last byte.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.terminal import Terminal  # noqa: E402

QUIET_S = 0.05
TIMEOUT_S = 20.0


def first_paint(argv: list[str], footer: str, columns: int, rows: int, home: str) -> float:
    """Seconds from the start of the program to its first full paint."""
    terminal = Terminal(
        argv, columns=columns, rows=rows, environ={"TORBIZ_HOME": home}, cwd=str(ROOT)
    )
    last = 0.0
    try:
        while True:
            wrote = terminal.read(QUIET_S)
            now = time.perf_counter() - terminal.started
            if wrote:
                last = now
            elif all(word in terminal.text for word in ("Setup", "Share", "Ask", "Logs", footer)):
                return last
            if now > TIMEOUT_S:
                raise SystemExit(f"no full paint of {argv}; the screen is:\n{terminal.text}")
    finally:
        terminal.close()


def main() -> int:
    """Measure and print the table; exit 1 when the aim is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--size", default="120x36")
    parser.add_argument("--aim", type=float, default=1.25, help="the ratio that must be reached")
    options = parser.parse_args()
    columns, rows = (int(part) for part in options.size.split("x"))
    program = str(Path(sys.executable).with_name("torbiz-tui"))
    with tempfile.TemporaryDirectory() as home:
        candidates = {
            "minimal Textual app": ([sys.executable, "benchmarks/minimal_app.py"], "palette"),
            "torbiz-tui --demo": ([program, "--demo", "--home", home], "palette"),
        }
        times: dict[str, list[float]] = {name: [] for name in candidates}
        for run in range(options.runs + 1):
            for name, (argv, footer) in candidates.items():
                taken = first_paint(argv, footer, columns, rows, home)
                if run:
                    times[name].append(taken)
    print(f"first full paint at {options.size}, {options.runs} runs in turn, after one warm-up")
    print(f"{'program':<22} {'median':>8} {'min':>8} {'max':>8}")
    for name, taken_by in times.items():
        print(
            f"{name:<22} {statistics.median(taken_by) * 1000:>5.0f} ms"
            f" {min(taken_by) * 1000:>5.0f} ms {max(taken_by) * 1000:>5.0f} ms"
        )
    minimal, ours = times.values()
    pairs = sorted(a / b for a, b in zip(ours, minimal, strict=True))
    ratio = statistics.median(pairs)
    print(f"ratio, pair by pair: {ratio:.2f} (aim: at most {options.aim})")
    return 0 if ratio <= options.aim else 1


if __name__ == "__main__":
    sys.exit(main())
