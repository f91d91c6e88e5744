"""The native driver: Petals in a managed venv, the server as a detached process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace as changed
from pathlib import Path
from typing import TYPE_CHECKING

from torbiz_tui.config import Config
from torbiz_tui.environments.adapter_part import ensure_adapter_part, needs_adapters
from torbiz_tui.environments.base import (
    EnvironmentDriver,
    ExitReport,
    ResourceSample,
    RunnerCommand,
    RunnerProcess,
    ServerCondition,
    ServerRecord,
    ServerSpec,
)
from torbiz_tui.environments.native_launch import launch
from torbiz_tui.environments.native_record import (
    ENVIRONMENT,
    NativeRecord,
    record_from_json,
)
from torbiz_tui.environments.own_memory import OwnMemory
from torbiz_tui.environments.petals_stack import PetalsStack
from torbiz_tui.environments.ports import require_free_port
from torbiz_tui.environments.processes import (
    Child,
    NativeRunner,
    clean_environ,
    last_lines,
    of_earlier_boot,
    start_mark,
    wait_gone,
)
from torbiz_tui.environments.seeder_command import seeder_arguments, supervision_arguments
from torbiz_tui.environments.share_lock import share_lock
from torbiz_tui.environments.shared_runner import SharedRunners
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.following import follow
from torbiz_tui.logs.run_start import run_follower
from torbiz_tui.logs.writing import MAX_BYTES, logger, rotate
from torbiz_tui.paths import Paths, runner_scripts
from torbiz_tui.setup.step import SILENT, Reporter, Step

if TYPE_CHECKING:
    import psutil

_KILL_WAIT_S = 5.0
_SAMPLE_S = 1.0


class NativeDriver(EnvironmentDriver):
    """Runs everything on this machine, without a container."""

    name = ENVIRONMENT

    def __init__(self, paths: Paths, config: Config) -> None:
        self._paths = paths
        self._config = config
        self.stack = PetalsStack(paths, config.petals)
        self._children: dict[int, Child] = {}
        self._sampled: dict[int, psutil.Process] = {}
        self._frozen = self._stopped_before = False
        self._memory = OwnMemory()
        self._told_of_record = ""
        self._shared_runners = SharedRunners(paths)

    @property
    def _record_file(self) -> Path:
        return self._paths.run / "server.json"

    @property
    def _report_file(self) -> Path:
        return self._paths.run / "server.exit.json"

    def setup_steps(self) -> Sequence[Step]:
        from torbiz_tui.environments.native_setup import native_steps

        return native_steps(self._paths, self._config, self.stack, self.spawn)

    async def prepare_server(self, spec: ServerSpec, report: Reporter) -> None:
        self.stack.require_ready()
        if needs_adapters(spec):
            await ensure_adapter_part(self._paths, self._config.petals, report)

    async def start_server(
        self,
        spec: ServerSpec,
        secrets: Mapping[str, str],
        *,
        replace: bool = False,  # noqa: ARG002 (nothing but ours can stand in the way)
    ) -> NativeRecord:
        await self.prepare_server(spec, SILENT)
        with share_lock(self._paths):
            return await self._start_locked(spec, secrets)

    async def _start_locked(self, spec: ServerSpec, secrets: Mapping[str, str]) -> NativeRecord:
        running = await self.find_server()
        if running is not None and await self.is_running(running):
            raise TorbizError(
                f"This machine is already sharing {running.spec.model}.",
                why=f"Process {running.pid} has been at it since "
                f"{time.strftime('%H:%M', time.localtime(running.started_at))}.",
                remedy="Stop it first (Share screen, or `torbiz-tui stop`).",
                code="already_sharing",
            )
        require_free_port(spec.port)
        log_file = self._paths.logs / "petals_seeder.log"
        rotate(log_file)
        self._report_file.unlink(missing_ok=True)
        argv = [
            str(self._paths.env_python),
            str(runner_scripts() / "supervise_server.py"),
            "--report",
            str(self._report_file),
            *("--log", str(log_file), "--log-limit", str(MAX_BYTES)),
            *("--rotate", shlex.join([sys.executable, "-P", "-m", "torbiz_tui.logs.rotation"])),
            *supervision_arguments(spec),
            "--",
            *self.server_argv(spec),
        ]
        record = await launch(
            argv,
            spec,
            self._environ(secrets),
            home=self._paths.home,
            log_file=log_file,
            record_file=self._record_file,
            children=self._children,
        )
        logger("sharing").info("started pid %d: %s", record.pid, " ".join(self.server_argv(spec)))
        return record

    async def command_text(self, spec: ServerSpec) -> str:
        when = supervision_arguments(changed(spec, restart_on_crash=False))
        supervisor: list[str] = []
        if when:
            script = str(runner_scripts() / "supervise_server.py")
            supervisor = [str(self._paths.env_python), script, *when, "--"]
        return shlex.join([*supervisor, *self.server_argv(spec)])

    def server_argv(self, spec: ServerSpec) -> list[str]:
        """The command that hosts `spec`, as it could be typed."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", spec.model).strip("-.") or "model"
        return [
            str(self._paths.env_python),
            str(runner_scripts() / "run_petals_seeder.py"),
            *seeder_arguments(
                spec,
                source=spec.source,
                identity=str(self._paths.run / f"{name}.identity"),
                cache=str(self._paths.cache),
            ),
        ]

    def _environ(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """The environment of whatever runs Petals."""
        return clean_environ(
            {"PETALS_CACHE": str(self._paths.cache), "HIVEMIND_COLORS": "false", **secrets}
        )

    async def find_server(self) -> NativeRecord | None:
        try:
            data = json.loads(await asyncio.to_thread(self._record_file.read_text, "utf-8"))
            return record_from_json(data, self._config.share)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            # It is looked at again every few seconds.
            if str(error) != self._told_of_record:
                self._told_of_record = str(error)
                logger("sharing").warning("%s cannot be read: %s", self._record_file, error)
            return None

    async def is_running(self, record: ServerRecord) -> bool:
        record = _own(record)
        self._reap(record.pid)
        return start_mark(record.pid) == record.start_mark

    def _reap(self, pid: int) -> None:
        child = self._children.get(pid)
        if child is not None and child.poll() is not None:
            del self._children[pid]

    async def server_lines(self, record: ServerRecord) -> AsyncIterator[list[str]]:
        known = _own(record)

        def ended() -> bool:
            self._reap(known.pid)
            return start_mark(known.pid) != known.start_mark

        follower = await asyncio.to_thread(run_follower, known.log_file, known.log_start)
        async for lines in follow(follower, ended=ended):
            yield lines

    async def wait_server(self, record: ServerRecord) -> ExitReport:
        record = _own(record)
        await wait_gone(record.pid, record.start_mark)
        self._reap(record.pid)
        return self._exit_report(record)

    def _exit_report(self, record: NativeRecord) -> ExitReport:
        lines = last_lines(record.log_file, record.log_start)
        unseen = ExitReport(last_lines=lines, rebooted=of_earlier_boot(record.start_mark))
        try:
            data = json.loads(self._report_file.read_text("utf-8"))
        except (OSError, ValueError):
            return unseen
        if data.get("pid") != record.pid:
            return unseen
        return ExitReport(
            code=data.get("code"),
            signal=data.get("signal"),
            asked=bool(data.get("asked_to_stop")),
            out_of_memory=bool(data.get("out_of_memory")),
            ended_at=data.get("ended_at"),
            last_lines=lines,
        )

    async def drain_server(self, record: ServerRecord) -> bool:
        record = _own(record)
        if not await self.is_running(record):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGUSR1)
        return True

    async def stop_server(self, record: ServerRecord, grace_s: float) -> ExitReport:
        record = _own(record)
        if not await self.is_running(record):
            return self._exit_report(record)
        descendants = await asyncio.to_thread(_descendants, record.pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGTERM)
        # What somebody has frozen would hear of it only afterwards.
        _signal_all(descendants, signal.SIGCONT)
        killed = not await wait_gone(record.pid, record.start_mark, grace_s)
        if killed:
            logger("sharing").warning("pid %d did not stop in %.0f s: killed", record.pid, grace_s)
            descendants |= await asyncio.to_thread(_descendants, record.pid)
            _signal_all(descendants, signal.SIGKILL)
            await wait_gone(record.pid, record.start_mark, _KILL_WAIT_S)
        self._reap(record.pid)
        # One that has just been started may end before it can write a report.
        return changed(self._exit_report(record), asked=True, killed=killed)

    async def forget_server(self, record: ServerRecord) -> None:
        current = await self.find_server()
        if current is not None and current.id == record.id:
            self._record_file.unlink(missing_ok=True)
            self._report_file.unlink(missing_ok=True)

    async def samples(self, record: ServerRecord) -> AsyncIterator[ResourceSample]:
        while (sample := await asyncio.to_thread(self._sample, _own(record))) is not None:
            yield sample
            await asyncio.sleep(_SAMPLE_S)

    def _sample(self, record: NativeRecord) -> ResourceSample | None:
        import psutil

        if start_mark(record.pid) != record.start_mark:
            self._sampled.clear()
            return None
        # cpu_percent compares with the same object's last call, so the objects are kept.
        current: dict[int, psutil.Process] = {}
        cpu, memory, frozen = 0.0, 0, False
        for pid in _descendants(record.pid):
            try:
                process = self._sampled.get(pid) or psutil.Process(pid)
                cpu += process.cpu_percent()
                memory += self._memory.of(process)
                # Without its supervisor a server serves all the same.
                frozen |= pid != record.pid and process.status() == psutil.STATUS_STOPPED
                current[pid] = process
            except psutil.Error:
                continue
        # Who rotates its log stops it, too, for a moment.
        self._frozen, self._stopped_before = frozen and self._stopped_before, frozen
        self._sampled = current
        self._memory.keep_only(set(current))
        return ResourceSample(cpu, memory, len(current))

    async def conditions(self, record: ServerRecord) -> AsyncIterator[ServerCondition]:
        known = _own(record)
        told: bool | None = None
        self._frozen = False
        while start_mark(known.pid) == known.start_mark:
            # Whoever asks for samples too has looked at all processes already.
            if self._frozen is not told:
                told = self._frozen
                yield ServerCondition(paused=told)
            await asyncio.sleep(_SAMPLE_S)

    async def spawn(self, command: RunnerCommand) -> RunnerProcess:
        self.stack.require_installed()
        log_file = self._paths.logs / command.log_name
        rotate(log_file)
        return await NativeRunner.start(
            self._argv(command),
            self._environ(command.secrets),
            log_file,
            f"{command.title or command.script} starts",
        )

    async def chat_runner(self, command: RunnerCommand, key: str) -> RunnerProcess:
        self.stack.require_installed()
        return await self._shared_runners.reach(
            key,
            command.title,
            self._argv(command),
            self._environ(command.secrets),
            self._paths.logs / command.log_name,
        )

    def _argv(self, command: RunnerCommand) -> list[str]:
        script = runner_scripts() / command.script
        return [str(self._paths.env_python), str(script), *command.arguments]


def _descendants(pid: int) -> dict[int, str]:
    """The process and all below it, each with its start mark."""
    import psutil

    found: dict[int, str] = {}
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            mark = start_mark(process.pid)
            if mark is not None:
                found[process.pid] = mark
    return found


def _signal_all(processes: Mapping[int, str], number: int) -> None:
    """Send a signal to those that are still the ones with these start marks."""
    for pid, mark in processes.items():
        if start_mark(pid) == mark:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _own(record: ServerRecord) -> NativeRecord:
    assert isinstance(record, NativeRecord)
    return record
