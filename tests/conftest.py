"""What the tests share: a home folder with the real Petals stack, built once a run."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.ports import free_port as free_port
from torbiz_tui.assembly import build_services
from torbiz_tui.config import Config, load_config
from torbiz_tui.errors import ExitCode
from torbiz_tui.logs.writing import start_logging
from torbiz_tui.paths import Paths

# What an example takes depends on the other processes of the machine.
settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy machine")


def pytest_configure() -> None:
    """Take nothing over from the shell that would change how programs behave.

    It starts what it puts in the background with SIGINT ignored, and children inherit it. The size
    of its terminal, which readline writes into the environment, is not that of the tests' own.
    """
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    # The models are tiny, and several servers share few cores: threads of one that wait for each
    # other would make it many times slower.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# Each part shares a container image, a swarm or a model; what takes longest comes first, as many as
# there are processes, so that none works alone at the end.
_TOGETHER = {
    "hosting": ("engine/test_image", "engine/test_podman_hosting", "engine/test_server"),
    "engine": ("engine/",),
    "swarms of their own": tuple(
        f"runner_scripts/test_{name}"
        for name in ("lost_servers", "rejoining", "local_model", "check_stack")
    ),
    "runner_scripts": ("runner_scripts/",),
}


@pytest.hookimpl(tryfirst=True)  # before the plugin reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests a process of a parallel run takes as a whole: those of a file, or more."""
    tests = Path(__file__).parent
    places: dict[pytest.Item, int] = {}
    for item in items:
        file = item.path.relative_to(tests).as_posix()
        fits = (name for name, begins in _TOGETHER.items() if file.startswith(begins))
        group = next(fits, file)
        places[item] = [*_TOGETHER, group].index(group)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: places[item])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """On CI nothing may be skipped: what a test needs has to be installed there."""
    report = yield
    if os.environ.get("CI") and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped on CI: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was left out on this machine, and why."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        told = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        reasons[str(told).removeprefix("Skipped: ")] += 1
    if reasons:
        terminalreporter.section("left out on this machine")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count} {'test' if count == 1 else 'tests'}: {reason}")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TORBIZ_") and not name.startswith("TORBIZ_TEST_"):
            monkeypatch.delenv(name)


def demo_config(home: Path, **overrides: object) -> Config:
    """The demo's configuration for a home folder, on a port of its own.

    No chat runner stays, and a server that was killed does not come back.
    """
    values: dict[str, object] = {
        "demo": True,
        "share.port": free_port(),
        "ask.keep_warm_s": 0.0,
        "share.restart_on_crash": False,
        **overrides,
    }
    return load_config(Paths(home).config_file, values, {}).config


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all processes of a run have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextlib.contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Let one process of a run do what the others then find done."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def stack_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder in which the app's own Setup has installed and verified the stack."""
    home = shared_folder(tmp_path_factory) / "torbiz-home"
    with one_at_a_time(home.with_suffix(".lock")):
        done = home / "done"
        if not done.exists():
            _set_up_stack(home)
            done.touch()
    start_logging(Paths(home))
    return home


def _set_up_stack(home: Path) -> None:
    paths = Paths(home)
    paths.ensure()
    start_logging(paths)

    async def set_up() -> None:
        services = build_services(demo_config(home), paths)
        outcome = await services.setup.run()
        steps = "\n".join(f"{s.id}: {s.state} {s.detail}" for s in services.setup.statuses)
        log = (paths.logs / "setup.log").read_text("utf-8")[-3000:]
        assert outcome is ExitCode.OK, f"Setup did not finish:\n{steps}\n{log}"
        await services.close()

    asyncio.run(set_up())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the gigabyte that pytest would keep for three runs."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        made: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
        shutil.rmtree(made.getbasetemp() / "torbiz-home", ignore_errors=True)


@pytest.fixture(scope="session")
def petals_python(stack_home: Path) -> Path:
    """The Python of the managed venv."""
    return Paths(stack_home).env_python


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 40 MB, for filling it up."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small-disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def nobody() -> Iterator[None]:
    """Root reads every file: become nobody for a while."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65_534)
    yield
    os.seteuid(was)


@pytest.fixture
def demo_home(tmp_path: Path, stack_home: Path) -> Path:
    """An empty home folder with the installed stack in it."""
    home = tmp_path / "home"
    paths = Paths(home)
    paths.ensure()
    paths.env.symlink_to(Paths(stack_home).env, target_is_directory=True)
    start_logging(paths)
    return home
