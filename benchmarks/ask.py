"""What asking through this program costs over Petals' own client, in one run on one swarm.

    python benchmarks/ask.py [--rounds 3] [--python PETALS_PYTHON] [--model demo|100m|both]

A server hosts all blocks on loopback; the same questions go to (a) bare Petals: `generate` in an
inference session, (b) the program's chat runner over its pipe, (c) the full-screen program in a
pseudo-terminal at 120x36, (d) the method of one process per question that sends the whole prefix
for every token, (e) transformers without a swarm. Each method takes its turn in every round; the
ratios are medians of the rounds' own. The demo model and a random Llama of 99 million parameters
are asked, both changed so that an answer never ends by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SIDE = Path(__file__).resolve().parent / "petals_side"
sys.path.insert(0, str(ROOT))

from tests.runner_scripts.runner_process import (  # noqa: E402
    RunnerProcess,
    ServerProcess,
    runner_environment,
)
from tests.terminal import Terminal  # noqa: E402

PROGRAM = str(Path(sys.executable).with_name("torbiz-tui"))
QUESTION = "How does a swarm serve a model?"
ANSWER_TOKENS = 256
LIMIT_S = 600.0
CTRL_N, CTRL_Q, ENTER = "\x0e", "\x11", "\r"
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Timed:
    """Seconds from the question to the first token, tokens per second after it, the answer."""

    first_s: float
    rate: float
    text: str = ""


class Reference:
    """A process of `petals_side/reference.py`."""

    def __init__(self, python: Path, kind: str, model: Path, peer: str) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [str(python), str(SIDE / "reference.py"), kind, str(model), peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=runner_environment(),
            text=True,
            # With hivemind's own process, which would outlive it.
            start_new_session=True,
        )

    def ask(self, messages: Messages, new: int, *, goes_on: bool = False) -> Timed:
        """Ask, and time the answer."""
        assert self._process.stdin is not None
        begun = time.perf_counter()
        request = {"messages": messages, "new": new, "goes_on": goes_on}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        first, _event = self._wait("token")
        end, done = self._wait("done")
        rate = (new - 1) / (end - first) if new > 1 else 0.0
        return Timed(first - begun, rate, done["text"])

    def _wait(self, kind: str) -> tuple[float, dict[str, Any]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if event["type"] == kind:
                return time.perf_counter(), event
        self._errors.seek(0)
        told = self._errors.read()[-2000:]
        raise RuntimeError(f"The reference ended before {kind!r}: {told}")

    def close(self) -> None:
        """End it."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._errors.close()


class Runner:
    """The program's chat runner, spoken to as the program does."""

    def __init__(self, python: Path, model: Path, peer: str) -> None:
        self._runner = RunnerProcess(
            python, "run_petals_inference.py", "--model-name", str(model), "--initial-peer", peer
        )
        self._asked = 0

    def ask(self, messages: Messages, new: int, *, goes_on: bool = False) -> Timed:
        """Ask, and time the answer."""
        self._asked += 1
        name = f"q{self._asked}"
        if not goes_on:
            self._conversation = name
        begun = time.perf_counter()
        self._runner.send(
            {
                "type": "generate",
                "id": name,
                "conversation": self._conversation,
                "messages": messages,
                "max_new_tokens": new,
            }
        )
        first, text = 0.0, ""
        while True:
            event = self._runner.next_event(LIMIT_S)
            if event["type"] == "token":
                first = first or time.perf_counter()
                text += event["text"]
            elif event["type"] == "done":
                end = time.perf_counter()
                break
            elif event["type"] == "error":
                raise RuntimeError(event["message"])
        count = event["usage"]["completion_tokens"]
        rate = (count - 1) / (end - first) if count > 1 else 0.0
        return Timed(first - begun, rate, text)

    def close(self) -> None:
        """End it."""
        self._runner.destroy()


class App:
    """The full-screen program; what it writes is read as fast as it comes and not drawn."""

    def __init__(self, home: Path) -> None:
        self._terminal = Terminal([PROGRAM, "--home", str(home), "--screen", "ask"])
        self._terminal.wait_for("Ask a question")
        self._terminal.wait_for("all blocks|via …|via ", LIMIT_S)

    def ask(self, text: str) -> Timed:
        """Type a question, and time from its first word on the screen to its note."""
        self._terminal.draw()
        # In a new conversation no earlier note is drawn again.
        self._terminal.send(CTRL_N)
        self._terminal.wait_for("Ask a question below")
        seen = len(self._terminal.written)
        begun = time.perf_counter()
        self._terminal.send(text + ENTER)
        first = self._wait(b"Writing", seen)
        end = self._wait(b"tokens/s", seen)
        return Timed(first - begun, (ANSWER_TOKENS - 1) / (end - first))

    def _wait(self, mark: bytes, since: int) -> float:
        deadline = time.perf_counter() + LIMIT_S
        while mark not in self._terminal.written[since:]:
            if time.perf_counter() > deadline:
                raise RuntimeError(f"{mark!r} did not come.")
            self._terminal.read_undrawn(0.5)
        return time.perf_counter()

    def close(self) -> None:
        """Leave."""
        self._terminal.send(CTRL_Q)
        self._terminal.close()


@dataclass
class Rows:
    """What was measured of one method, round by round."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    second: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)


def question(round_number: int) -> Messages:
    """A short first turn."""
    return [{"role": "user", "content": f"{QUESTION} ({round_number})"}]


def long_turn() -> Messages:
    """A first turn of about 900 tokens, for a conversation of 1,000 with its answer."""
    return [{"role": "user", "content": "A swarm serves the blocks of a model. " * 85}]


def measure_turns(rows: Rows, ask: Callable[..., Timed], number: int) -> None:
    """The rows of a method that stays running: warm, second turn, rate."""
    rows.warm.append(ask(question(number), 2).first_s)
    rows.rate.append(ask(question(number), ANSWER_TOKENS).rate)
    first = long_turn()
    answer = ask(first, 100).text
    said = [*first, {"role": "assistant", "content": answer}, *question(number)]
    rows.second.append(ask(said, 2, goes_on=True).first_s)


@contextmanager
def closing(thing: Any) -> Iterator[Any]:
    """Close it afterwards, whatever happens."""
    try:
        yield thing
    finally:
        thing.close()


def cold(make: Callable[[], Any]) -> float:
    """Seconds from the start of a process to its first token."""
    begun = time.perf_counter()
    with closing(make()) as started:
        started.ask(question(0), 1)
        return time.perf_counter() - begun


def measure(python: Path, model: Path, home: Path, rounds: int) -> dict[str, Rows]:
    """All methods on one model."""
    rows = {name: Rows() for name in "abcde"}
    # Room for the sessions of all methods: bare Petals would wait for it forever.
    room = ("--attn-cache-tokens", "32768")
    server = ServerProcess(python, model, "--new-swarm", *room).wait_serving()
    try:
        peer = server.address
        make: dict[str, Callable[[], Any]] = {
            "a": lambda: Reference(python, "bare", model, peer),
            "b": lambda: Runner(python, model, peer),
            "d": lambda: Reference(python, "prefix", model, peer),
            "e": lambda: Reference(python, "local", model, peer),
        }
        write_config(home, model, peer)
        for _ in range(rounds):
            for name, starter in make.items():
                rows[name].cold.append(cold(starter))
        with (
            closing(make["a"]()) as bare,
            closing(make["b"]()) as runner,
            closing(make["e"]()) as local,
            closing(App(home)) as app,
        ):
            for number in range(1, rounds + 1):
                measure_turns(rows["a"], bare.ask, number)
                measure_turns(rows["b"], runner.ask, number)
                measure_turns(rows["e"], local.ask, number)
                timed = app.ask(question(number)[0]["content"])
                rows["c"].rate.append(timed.rate)
                rows["c"].warm.append(timed.first_s)
        with closing(make["d"]()) as whole:
            rows["d"].rate.append(whole.ask(question(1), ANSWER_TOKENS).rate)
            said = [*long_turn(), {"role": "assistant", "content": "A swarm. " * 30}, *question(1)]
            rows["d"].second.append(whole.ask(said, 1).first_s)
        return rows
    finally:
        server.destroy()


def write_config(home: Path, model: Path, peer: str) -> None:
    """The program's configuration for asking this model in this swarm."""
    home.mkdir(parents=True, exist_ok=True)
    settings = {
        "model": str(model),
        "swarm": {"initial_peers": [peer]},
        "ask": {"max_new_tokens": ANSWER_TOKENS, "keep_warm_s": 0},
    }
    (home / "config.yaml").write_text(json.dumps(settings), "utf-8")


def ratio(above: list[float], below: list[float]) -> float:
    """The median of the ratios, round by round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=False))


NAMES = {
    "a": "a  bare Petals, in a session",
    "b": "b  chat runner, over its pipe",
    "c": "c  the full-screen program",
    "d": "d  whole prefix for every token",
    "e": "e  transformers, no swarm",
}


def show(title: str, rows: dict[str, Rows]) -> bool:
    """Print the table and the ratios; whether the aims are met."""
    print(f"\n{title}")
    print(f"{'method':<33}{'cold first':>11}{'warm first':>11}{'2nd turn':>10}{'tokens/s':>10}")
    for name, row in rows.items():
        cells = [
            f"{statistics.median(column):.3f} s" if column else "-"
            for column in (row.cold, row.warm, row.second)
        ]
        rate = f"{statistics.median(row.rate):.1f}" if row.rate else "-"
        print(f"{NAMES[name]:<33}{cells[0]:>11}{cells[1]:>11}{cells[2]:>10}{rate:>10}")
    aims = (
        ("b / a, tokens/s", ratio(rows["b"].rate, rows["a"].rate), "at least", 0.97),
        ("c / a, tokens/s", ratio(rows["c"].rate, rows["a"].rate), "at least", 0.95),
        ("b / a, second turn's first token", ratio(rows["b"].second, rows["a"].second), "<=", 1.3),
        ("b / d, tokens/s", statistics.median(rows["b"].rate) / rows["d"].rate[0], "at least", 10),
    )
    met = True
    for what, value, word, aim in aims:
        good = value <= aim if word == "<=" else value >= aim
        met = met and good
        word = "at most" if word == "<=" else word
        print(f"{what:<40}{value:>7.2f}  (aim: {word} {aim:g}){'' if good else '  MISSED'}")
    return met


def main() -> int:
    """Measure and print; exit 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", type=Path, help="with the Petals stack (default: install it)")
    parser.add_argument("--model", choices=("demo", "100m", "both"), default="both")
    options = parser.parse_args()
    met = True
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        if options.python is None:
            command = [PROGRAM, "--demo", "--home", str(home), "setup", "--yes"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        else:
            home.mkdir()
            (home / "env").symlink_to(options.python.parents[1], target_is_directory=True)
        python = home / "env" / "bin" / "python"
        models = Path(folder) / "models"
        subprocess.run(
            [
                str(python),
                str(SIDE / "make_models.py"),
                str(ROOT / "runner_scripts" / "demo_model"),
                str(models),
            ],
            check=True,
            env=runner_environment(),
        )
        chosen = {"demo": ("demo-endless",), "100m": ("llama-100m",)}.get(
            options.model, ("demo-endless", "llama-100m")
        )
        for name in chosen:
            rows = measure(python, models / name, home, options.rounds)
            met = show(f"{name}, {options.rounds} rounds, medians", rows) and met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
