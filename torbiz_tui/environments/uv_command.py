"""Calling uv: its output as progress, its failures as sentences."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping, Sequence

from torbiz_tui.environments.processes import clean_environ, end_with_parent, kill_group
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.following import LineAssembler
from torbiz_tui.logs.redaction import redact
from torbiz_tui.setup.step import Reporter
from torbiz_tui.troubleshooting.matching import find
from torbiz_tui.troubleshooting.symptom import Place

_DOWNLOADING = re.compile(r"^\s*Downloading (?P<name>\S+) \((?P<size>[\d.]+)(?P<unit>[KMG]?i?B)\)")
_DOWNLOADED = re.compile(r"^\s*Downloaded (?P<name>\S+)")
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


async def run_uv(
    arguments: Sequence[str], environ: Mapping[str, str], report: Reporter, *, timeout_s: float
) -> None:
    """Run uv and report what it says; cancelling ends it at once. Raises TorbizError."""
    from uv import find_uv_bin

    progress = _DownloadProgress(report)
    whole_environ = clean_environ({"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "manual"})
    whole_environ.update(environ)
    lines: list[str] = []

    def take(line: str) -> None:
        lines.append(redact(line))
        report.output(redact(line))
        progress.take(line)

    report.output(redact(f"$ uv {' '.join(arguments)}"))
    code = await _run_lines([find_uv_bin(), *arguments], whole_environ, take, timeout_s)
    if code != 0:
        raise explain_uv_failure(lines, code)


class _DownloadProgress:
    """uv's lines about downloads as a fraction of the bytes announced so far."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._sizes: dict[str, float] = {}
        self._done: set[str] = set()

    def take(self, line: str) -> None:
        if match := _DOWNLOADING.match(line):
            unit = match["unit"] if "i" in match["unit"] else match["unit"].replace("B", "iB")
            self._sizes[match["name"]] = float(match["size"]) * _UNITS.get(unit, 1)
        elif match := _DOWNLOADED.match(line):
            self._done.add(match["name"])
        else:
            if line.strip() and not line.lstrip().startswith(("+", "-", "~")):
                self._report.progress(None, line.strip())
            return
        total = sum(self._sizes.values())
        done = sum(self._sizes.get(name, 0.0) for name in self._done)
        left = [name for name in self._sizes if name not in self._done]
        if total:
            text = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB"
            self._report.progress(
                done / total, f"Downloading {', '.join(left[:3])}: {text}" if left else "Installing"
            )


async def _run_lines(
    argv: Sequence[str],
    environ: dict[str, str],
    take: Callable[[str], None],
    timeout_s: float,
) -> int:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environ,
        start_new_session=True,
        preexec_fn=end_with_parent,
    )
    assert process.stdout is not None
    assembler = LineAssembler()
    try:
        async with asyncio.timeout(timeout_s):
            while data := await process.stdout.read(65536):
                for line in assembler.feed(data):
                    take(line)
            for line in assembler.finish():
                take(line)
            return await process.wait()
    except TimeoutError:
        raise TorbizError(
            f"The installation did not finish within {timeout_s:.0f} s.",
            remedy="Try again (what was downloaded is kept), or raise petals.install_timeout_s.",
            code="install_timeout",
        ) from None
    finally:
        if process.returncode is None:
            kill_group(process.pid)
            with contextlib.suppress(ProcessLookupError):
                await process.wait()


def explain_uv_failure(lines: Sequence[str], code: int) -> TorbizError:
    """Turn what uv printed into what happened, why, and what to do."""
    text = "\n".join(lines)
    evidence = tuple(line for line in lines if line.strip() and not line.startswith("$ "))[-8:]
    symptom = find(text, Place.PACKAGES)
    if symptom is not None:
        return TorbizError(
            symptom.title,
            why=_cause(evidence),
            remedy=symptom.remedy,
            code=symptom.error_code,
            details=evidence,
            symptom=symptom.id,
        )
    return TorbizError(
        f"uv failed with exit code {code}.",
        why=_cause(evidence),
        remedy="Its output is in setup.log; retry, or mend what it names.",
        code="install_failed",
        details=evidence,
    )


def _cause(evidence: Sequence[str]) -> str:
    causes = [
        re.sub(r"^\W*(Caused by:|error:|\u00d7|\u2570\u2500\u25b6)\W*", "", line.strip())
        for line in evidence
    ]
    named = [cause for line, cause in zip(evidence, causes, strict=True) if "Caused by" in line]
    chosen = (named or causes or [""])[-1]
    return chosen if not chosen or chosen.endswith(".") else f"{chosen}."
