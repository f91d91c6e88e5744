"""Setup steps: Docker is installed, and it answers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence

from torbiz_tui.environments.docker import installed
from torbiz_tui.environments.docker.causes import Cause
from torbiz_tui.environments.docker.endpoints import Endpoint
from torbiz_tui.environments.docker.engine import EngineFinder
from torbiz_tui.environments.docker.installed import Installed
from torbiz_tui.environments.docker.starting import (
    StartCommand,
    install_instruction,
    start_command,
)
from torbiz_tui.errors import BlockedError, TorbizError
from torbiz_tui.setup.step import CheckResult, Reporter, Step

# Docker Desktop takes about half a minute, on a slow disk or after an update far longer.
START_TIMEOUT_S = 120.0
RETRY_S = 1.0
_COMMAND_TIMEOUT_S = 90.0
_WORTH_WAITING = (Cause.STARTING, Cause.STUCK)

Run = Callable[[Sequence[str]], Awaitable[tuple[int, str]]]


async def run_program(argv: Sequence[str]) -> tuple[int, str]:
    """Run a program that starts an engine; its exit code and what it printed.

    Raises TorbizError when it is not there or takes longer than 90 seconds.
    """
    shown = " ".join(argv)
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise TorbizError(f"`{shown}` cannot be run.", why=f"{error.strerror}.") from error
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), _COMMAND_TIMEOUT_S)
    except TimeoutError:
        raise TorbizError(f"`{shown}` did not end within {_COMMAND_TIMEOUT_S:.0f} s.") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode or 0, printed.decode(errors="replace")


class DockerInstalledStep(Step):
    """There is a Docker on this machine."""

    id = "docker"
    title = "Docker installed"

    def __init__(self, finder: EngineFinder) -> None:
        self._finder = finder

    async def check(self) -> CheckResult:
        if version := await installed.client_version():
            return CheckResult.ready(version)
        try:
            engine = await self._finder.find()
        except BlockedError as error:
            if error.code != "docker_missing":
                return CheckResult.ready("No docker command found; the app needs none")
            found = await asyncio.to_thread(installed.look)
            return CheckResult.blocked(f"{error.what} {error.why}", install_instruction(found))
        return CheckResult.ready(
            f"{engine.facts.sentence()}; no docker command found, and the app needs none"
        )

    async def apply(self, report: Reporter) -> None:
        """Nothing: a person installs Docker."""


class DaemonStep(Step):
    """The engine answers; it is started where that needs no password, and waited for.

    `machine` and `run` are the doors to the platform; `timeout_s` limits the wait.
    """

    id = "docker-engine"
    title = "Docker answering"
    needs = ("docker",)

    def __init__(
        self,
        finder: EngineFinder,
        *,
        machine: Callable[[], Installed] = installed.look,
        run: Run = run_program,
        timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._finder = finder
        self._machine = machine
        self._run = run
        self._timeout_s = timeout_s

    async def check(self) -> CheckResult:
        try:
            engine = await self._finder.find()
        except BlockedError as error:
            detail = f"{error.what} {error.why}".strip()
            if error.code in _WORTH_WAITING or await self._command(error) is not None:
                return CheckResult.missing(detail)
            return CheckResult.blocked(detail, error.remedy)
        return CheckResult.ready(
            f"{engine.facts.sentence()} at {engine.endpoint.address} ({engine.endpoint.source})"
        )

    async def apply(self, report: Reporter) -> None:
        started = time.monotonic()
        asked_to_start = False
        while True:
            try:
                await self._finder.find()
            except BlockedError as error:
                problem = error
            else:
                return
            if not asked_to_start and (command := await self._command(problem)) is not None:
                await self._start(command, problem, report)
                asked_to_start = True
            elif problem.code not in _WORTH_WAITING and not (
                asked_to_start and problem.code == Cause.NOT_RUNNING
            ):
                raise problem
            elapsed = time.monotonic() - started
            if elapsed > self._timeout_s:
                raise BlockedError(
                    f"Docker did not start within {self._timeout_s:.0f} s.",
                    why=f"{problem.what} {problem.why}".strip(),
                    remedy=problem.remedy,
                    code=problem.code,
                    details=problem.details,
                )
            report.progress(
                None,
                f"Waiting for Docker, {elapsed:.0f} of at most {self._timeout_s:.0f} s: "
                f"{problem.why or problem.what}",
            )
            await asyncio.sleep(RETRY_S)

    async def _command(self, problem: BlockedError) -> StartCommand | None:
        if problem.code != Cause.NOT_RUNNING or "paused" in problem.what:
            return None
        machine = await asyncio.to_thread(self._machine)
        return start_command(machine, self._endpoint())

    def _endpoint(self) -> Endpoint | None:
        """The address that is to answer: the chosen one, else one whose socket is there."""
        there = [one.endpoint for one in self._finder.tried if one.cause is not Cause.ABSENT]
        chosen = [one.endpoint for one in self._finder.tried if one.endpoint.chosen]
        return next(iter([*chosen, *there]), None)

    async def _start(self, command: StartCommand, problem: BlockedError, report: Reporter) -> None:
        report.progress(None, f"Starting {command.what}")
        report.output(f"$ {' '.join(command.argv)}")
        code, printed = await self._run(command.argv)
        for line in printed.splitlines():
            report.output(line)
        if code != 0:
            raise BlockedError(
                f"{command.what} could not be started from here.",
                why=f"`{' '.join(command.argv)}` ended with code {code}. {problem.why}",
                remedy=f"Run `{command.shown}` yourself, then retry.",
                code=problem.code,
                details=tuple(printed.splitlines()[-5:]),
            )


def connection_steps(finder: EngineFinder) -> list[Step]:
    """The two steps, in order; what needs an engine needs `docker-engine`."""
    return [DockerInstalledStep(finder), DaemonStep(finder)]
