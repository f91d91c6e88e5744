"""From an empty TORBIZ_HOME to the first answer of the demo, typed into the real program.

    python benchmarks/first_answer.py [--runs 3]

The full-screen app runs in a pseudo-terminal; each row is the time between two things that a
person sees. Packages come from uv's cache as it is (warm after the first run), nothing else is
kept between runs. The memory is the terminal process's own peak (VmHWM), without its children.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.terminal import Terminal  # noqa: E402

PROGRAM = str(Path(sys.executable).with_name("torbiz-tui"))
QUESTION = "What is a swarm?"
F2, F3, CTRL_S, CTRL_Q, ENTER = "\x1bOQ", "\x1bOR", "\x13", "\x11", "\r"
LONG_S = 900.0
# What is typed, and what is then seen; None where the person only waits on.
PHASES: tuple[tuple[str, str | None, str], ...] = (
    ("open the app: Setup is shown", None, "Set up this machine"),
    ("Enter: venv and stack installed", ENTER, r"Petals and its stack +ready"),
    ("Petals imported, machine ready", None, "This machine is ready"),
    ("F2, Ctrl+S: all blocks served", F2 + CTRL_S, "Sharing torbiz-demo"),
    ("F3, question: first words", F3 + QUESTION + ENTER, r"(?s)You\n.+(torbiz-demo|demo)\n +\w+"),
    ("answer complete", None, "tokens/s"),
)


def one_run(home: Path) -> tuple[list[float], float]:
    """Seconds of each phase, and the terminal process's peak memory in MB."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    terminal = Terminal(
        [PROGRAM, "--demo", "--home", str(home)], environ={"TORBIZ_SHARE_PORT": str(port)}
    )
    times = []
    begun = terminal.started
    try:
        for _title, keys, seen in PHASES:
            if keys is not None and keys.startswith(F2):
                terminal.send(F2)
                terminal.wait_for("Start sharing")
                terminal.send(CTRL_S)
            elif keys is not None and keys.startswith(F3):
                terminal.send(F3)
                terminal.wait_for("Ask a question")
                terminal.send(keys.removeprefix(F3))
            elif keys is not None:
                terminal.send(keys)
            terminal.wait_for(seen, LONG_S)
            now = time.perf_counter()
            times.append(now - begun)
            begun = now
        status = Path(f"/proc/{terminal.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        terminal.send(CTRL_Q)
        terminal.wait_end()
        return times, int(peak.split()[1]) / 1000
    finally:
        terminal.close()
        subprocess.run(
            [PROGRAM, "--demo", "--home", str(home), "stop"], capture_output=True, check=False
        )


def main() -> int:
    """Measure and print the table; exit 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--aim", type=float, default=60.0, help="seconds in all")
    parser.add_argument("--aim-memory", type=float, default=120.0, help="MB")
    options = parser.parse_args()
    runs = []
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(one_run(Path(folder) / "home"))
    print(f"from an empty home to the first answer, {options.runs} runs, medians (min to max)")
    for at, (title, _keys, _seen) in enumerate(PHASES):
        column = [times[at] for times, _memory in runs]
        spread = f"({min(column):.2f} to {max(column):.2f})"
        print(f"{title:<36} {statistics.median(column):>7.2f} s  {spread}")
    total = statistics.median(sum(times) for times, _memory in runs)
    memory = statistics.median(memory for _times, memory in runs)
    print(f"{'in all':<36} {total:>7.2f} s  (aim: under {options.aim:.0f})")
    print(
        f"{'terminal process, peak memory':<36} {memory:>7.1f} MB (aim: under {options.aim_memory:.0f})"
    )
    return 0 if total < options.aim and memory < options.aim_memory else 1


if __name__ == "__main__":
    sys.exit(main())
