"""What hosting through this program costs, in one run: time, memory, the monitor, tokens per second.

    python benchmarks/share.py [--rounds 10] [--python PETALS_PYTHON] [--model demo|100m|both]
                               [--only start|memory|monitor|served]

Four tables, of the demo model and of a random Llama of 99 million parameters, on loopback. Start to
serving: a row per stage, as the Share screen tells them. Memory: what the fit predicts for a number
of blocks, and what the server's processes take together once the attention cache is full. Monitor:
its memory and its share of a core beside a chat runner. Served: the same client against a server of
this program and against bare `petals.cli.run_server`, in turns; the ratio is the median of the
rounds' own.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
SIDE = Path(__file__).resolve().parent / "petals_side"
sys.path.insert(0, str(ROOT))

from benchmarks.ask import Reference, closing, question, ratio  # noqa: E402
from tests.ports import free_port  # noqa: E402
from tests.process_memory import memory_of, passing_peak  # noqa: E402
from tests.runner_scripts.runner_process import RunnerProcess, runner_environment  # noqa: E402
from torbiz_tui.assembly import build_services  # noqa: E402
from torbiz_tui.catalogue import ModelInfo, resolve_model  # noqa: E402
from torbiz_tui.config import load_config  # noqa: E402
from torbiz_tui.fit import Needs  # noqa: E402
from torbiz_tui.hardware import look  # noqa: E402
from torbiz_tui.paths import Paths, demo_model  # noqa: E402
from torbiz_tui.sharing.fitting import fit_for  # noqa: E402
from torbiz_tui.sharing.request import ShareRequest  # noqa: E402
from torbiz_tui.sharing.state import STAGE_TITLES, Stage  # noqa: E402
from torbiz_tui.swarm_map.monitor import monitor_command  # noqa: E402

PROGRAM = str(Path(sys.executable).with_name("torbiz-tui"))
START_LIMIT_S = 120.0
ANSWER_TOKENS = 128
LOOKS = 20
# A session is as long as a server allows, and so many of them fill its attention cache.
SESSIONS, SESSION_TOKENS = 2, 2048
MIB = 2**20


class Hosted:
    """A server that the program hosts, as its Share screen would start it."""

    def __init__(self, home: Path, model: str, blocks: str = "auto", throughput: str = "1") -> None:
        self._loop = asyncio.Runner()
        paths = Paths(home)
        paths.ensure()
        config = load_config(paths.config_file, {"environment": "native", "model": model}, {})
        self._services = build_services(config.config, paths)
        self.model: ModelInfo = self._loop.run(resolve_model(model, paths))
        self.request: ShareRequest = replace(
            self._services.sharing.default_request(),
            blocks=blocks,
            throughput=throughput,
            port=free_port(),
            new_swarm=True,
            loopback=True,
        )
        self.seconds: dict[Stage, float] = {}
        try:
            self._loop.run(self._start())
        except BaseException:
            self.close()
            raise

    async def _start(self) -> None:
        sharing = self._services.sharing
        begun, stage = time.perf_counter(), Stage.LAUNCHING
        with sharing.subscribe() as changes:
            await sharing.start(self.request)
            async with asyncio.timeout(START_LIMIT_S):
                async for state in changes:
                    if state.stage not in (stage, None):
                        now = time.perf_counter()
                        self.seconds[stage] = now - begun
                        begun, stage = now, state.stage
                    if not state.active or stage is Stage.SERVING:
                        break
        await sharing.wait_serving(START_LIMIT_S)

    @property
    def peer(self) -> str:
        """What others join its swarm with."""
        return self._services.sharing.state.addresses[0]

    @property
    def family(self) -> list[psutil.Process]:
        """The supervisor and all below it."""
        process = psutil.Process(self._services.sharing.state.pid)
        return [process, *process.children(recursive=True)]

    @property
    def needs(self) -> Needs:
        """What the fit predicts."""
        machine = look(self._services.paths.cache)
        config = self._services.config
        return fit_for(self.request, self.model, config, machine, "native").needs

    def close(self) -> None:
        """Stop it."""
        self._loop.run(self._services.sharing.stop(now=True))
        self._loop.run(self._services.close())
        self._loop.close()


class BareServer:
    """`python -m petals.cli.run_server` with the settings of a `Hosted` one, else its defaults."""

    def __init__(self, python: Path, folder: Path, log: Path, blocks: int) -> None:
        arguments = [str(folder), "--new_swarm", "--dht_prefix", f"{folder.name}-hf"]
        arguments += ["--host_maddrs", f"/ip4/127.0.0.1/tcp/{free_port()}"]
        arguments += ["--block_indices", f"0:{blocks}", "--device", "cpu"]
        arguments += ["--torch_dtype", "float32", "--throughput", "1"]
        with log.open("wb") as output:
            self._process = psutil.Popen(
                [str(python), str(SIDE / "bare_server.py"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=runner_environment(),
                start_new_session=True,
            )
        deadline = time.monotonic() + START_LIMIT_S
        while "] Started" not in (told := log.read_text("utf-8", "replace")):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"Bare Petals does not start:\n{told[-2000:]}")
            time.sleep(0.1)
        found = re.search(r"'(/ip4/127\.0\.0\.1/[^']+)'", told)
        assert found, told
        self.peer = found[1]

    def close(self) -> None:
        """End it."""
        if self._process.is_running():
            for process in [*self._process.children(recursive=True), self._process]:
                process.kill()
        self._process.wait()


@dataclass(frozen=True)
class Model:
    """A model to measure: how the program knows it, its folder, and one that never ends."""

    title: str
    name: str
    folder: Path
    endless: Path
    throughput: str
    counts: tuple[int, ...]


def measure_start(home: Path, model: Model, rounds: int) -> None:
    """Start to serving, a row per stage."""
    runs = []
    for _ in range(rounds):
        # Measured anew each time: what an earlier round has found stays in the cache.
        measure = "eval" if model.throughput == "auto" else model.throughput
        with closing(Hosted(home, model.name, throughput=measure)) as hosted:
            runs.append(hosted.seconds)
    print(f"\n{model.title}: start to serving, {rounds} rounds, medians (min to max)")
    for stage in Stage:
        column = [run[stage] for run in runs if stage in run]
        if column:
            spread = f"({min(column):.2f} to {max(column):.2f})"
            print(f"{STAGE_TITLES[stage]:<34}{statistics.median(column):>8.2f} s  {spread}")
    total = statistics.median(sum(run.values()) for run in runs)
    print(f"{'in all':<34}{total:>8.2f} s")


@contextmanager
def full_cache(python: Path, hosted: Hosted, blocks: int) -> Iterator[None]:
    """Hold sessions with which the server's attention cache is full."""
    prefix = hosted.model.dht_prefix or f"{Path(hosted.model.source).name}-hf"
    arguments = [hosted.model.source, prefix, hosted.peer, f"0:{blocks}"]
    with subprocess.Popen(
        [
            str(python),
            str(SIDE / "fill_cache.py"),
            *arguments,
            *(str(SESSIONS), str(SESSION_TOKENS)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=runner_environment(),
        start_new_session=True,
    ) as client:
        family = psutil.Process(client.pid)
        try:
            assert client.stdout is not None
            if client.stdout.readline() != b"full\n":
                raise RuntimeError("The attention cache could not be filled.")
            yield
        finally:
            # With hivemind's own process, which would outlive it.
            for process in [*family.children(recursive=True), family]:
                process.kill()


def measure_memory(python: Path, home: Path, model: Model) -> bool:
    """Predicted and measured, at several numbers of blocks; whether all are within 15%."""
    print(f"\n{model.title}: memory with the attention cache full, in MiB")
    print(
        f"{'blocks':>6}{'predicted':>11}{'measured':>10}{'ratio':>7}"
        f"{'private':>10}{'predicted peak':>16}{'measured':>10}{'ratio':>7}"
    )
    met = True
    for count in model.counts:
        with closing(Hosted(home, model.name, f"0:{count}")) as hosted:
            needs = hosted.needs
            with full_cache(python, hosted, count):
                pids = [process.pid for process in hosted.family]
                memory = memory_of(pids)
                peak = memory.total + passing_peak(pids)
        held = needs.held(count)
        ratios = held / memory.total, needs.total(count) / peak
        met = met and all(abs(value - 1) <= 0.15 for value in ratios)
        print(
            f"{count:>6}{held / MIB:>11.0f}{memory.total / MIB:>10.0f}{ratios[0]:>7.2f}"
            f"{memory.private / MIB:>10.0f}{needs.total(count) / MIB:>16.0f}{peak / MIB:>10.0f}"
            f"{ratios[1]:>7.2f}"
        )
    print(f"{'':<6}(aim: ratios from 0.85 to 1.15){'' if met else '  MISSED'}")
    return met


def measure_monitor(python: Path, home: Path) -> None:
    """The monitor at its own pace beside a chat runner that has answered."""
    with closing(Hosted(home, "torbiz-demo")) as hosted, ExitStack() as ending:
        names = ["--model-name", hosted.model.source, "--dht-prefix", hosted.model.dht_prefix]
        peer = ["--initial-peer", hosted.peer]
        chat = RunnerProcess(python, "run_petals_inference.py", *names, *peer)
        ending.callback(chat.destroy)
        chat.send({"type": "generate", "id": "q", "messages": question(1)})
        chat.until(lambda event: event["type"] == "done")
        command = monitor_command(hosted.model, (hosted.peer,))
        monitor = RunnerProcess(python, command.script, *command.arguments)
        ending.callback(monitor.destroy)
        monitor.until(lambda event: event["type"] == "swarm")
        runners = {"chat runner, idle": chat, "monitor": monitor}
        before = {name: _cpu_s(runner) for name, runner in runners.items()}
        begun = time.perf_counter()
        for _ in range(LOOKS):
            monitor.until(lambda event: event["type"] == "swarm")
        passed = time.perf_counter() - begun
        print(f"\nthe swarm's monitor beside a chat runner, a look every {passed / LOOKS:.1f} s")
        print(f"{'':<24}{'memory':>12}{'private':>12}{'PSS':>12}{'of a core':>11}")
        totals = []
        for name, runner in runners.items():
            memory = memory_of(process.pid for process in runner.family())
            pss = sum(process.memory_full_info().pss for process in runner.family())
            totals.append(memory.total)
            share = (_cpu_s(runner) - before[name]) / passed
            print(
                f"{name:<24}{memory.total / MIB:>8.0f} MiB{memory.private / MIB:>8.0f} MiB"
                f"{pss / MIB:>8.0f} MiB{share:>11.1%}"
            )
        print(f"{'monitor / chat runner':<24}{totals[1] / totals[0]:>8.2f}")


def _cpu_s(runner: RunnerProcess) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in runner.family())


def measure_served(python: Path, home: Path, model: Model, rounds: int) -> bool:
    """Tokens per second through both servers; whether the aim is met."""
    folder = model.endless
    with (
        closing(Hosted(home, str(folder))) as hosted,
        closing(BareServer(python, folder, home / "bare.log", hosted.model.num_blocks)) as bare,
        closing(Reference(python, "bare", folder, hosted.peer)) as through_ours,
        closing(Reference(python, "bare", folder, bare.peer)) as through_bare,
    ):
        clients = {"this program": through_ours, "bare run_server": through_bare}
        rates: dict[str, list[float]] = {name: [] for name in clients}
        for client in clients.values():
            client.ask(question(0), 8)
        for number in range(1, rounds + 1):
            turns = list(clients.items())
            for name, client in turns if number % 2 else reversed(turns):
                rates[name].append(client.ask(question(number), ANSWER_TOKENS).rate)
    print(f"\n{model.title}: served to the same client, {rounds} rounds, medians (min to max)")
    for name, column in rates.items():
        spread = f"({min(column):.1f} to {max(column):.1f})"
        print(f"{name:<24}{statistics.median(column):>8.1f} tokens/s  {spread}")
    value = ratio(rates["this program"], rates["bare run_server"])
    met = value >= 0.98
    print(f"{'ratio':<24}{value:>8.3f}  (aim: at least 0.98){'' if met else '  MISSED'}")
    return met


def main() -> int:
    """Measure and print; exit 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--python", type=Path, help="with the Petals stack (default: install it)")
    parser.add_argument("--model", choices=("demo", "100m", "both"), default="both")
    parser.add_argument("--only", choices=("start", "memory", "monitor", "served"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        python = prepare(home, options.python)
        models = make_models(python, Path(folder) / "models")
        met = True
        chosen = [model for name, model in models.items() if options.model in (name, "both")]
        for model in chosen:
            if options.only in (None, "start"):
                measure_start(home, model, min(3, options.rounds))
            if options.only in (None, "memory"):
                met = measure_memory(python, home, model) and met
            if options.only in (None, "served"):
                met = measure_served(python, home, model, options.rounds) and met
        if options.only in (None, "monitor"):
            measure_monitor(python, home)
    return 0 if met else 1


def prepare(home: Path, given: Path | None) -> Path:
    """A home folder with the stack in it; returns its Python."""
    if given is None:
        command = [PROGRAM, "--demo", "--home", str(home), "setup", "--yes"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    else:
        home.mkdir()
        (home / "env").symlink_to(given.parents[1], target_is_directory=True)
    return home / "env" / "bin" / "python"


def make_models(python: Path, folder: Path) -> dict[str, Model]:
    """Both models, and the demo's sibling whose answers never end."""
    script = SIDE / "make_models.py"
    subprocess.run(
        [str(python), str(script), str(demo_model()), str(folder)],
        check=True,
        env=runner_environment(),
        stderr=subprocess.DEVNULL,
    )
    llama = folder / "llama-100m"
    demo = Model(
        "demo", "torbiz-demo", demo_model(), folder / "demo-endless", "1", counts=(1, 4, 8)
    )
    return {
        "demo": demo,
        "100m": Model("llama-100m", str(llama), llama, llama, "auto", counts=(1, 5, 10)),
    }


if __name__ == "__main__":
    sys.exit(main())
