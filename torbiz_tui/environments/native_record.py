"""What is remembered of a server that is a process here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torbiz_tui.environments.base import ServerRecord, ServerSpec
from torbiz_tui.logs.run_start import RunStart

if TYPE_CHECKING:
    from torbiz_tui.config import ShareConfig

ENVIRONMENT = "native"


@dataclass(frozen=True, kw_only=True)
class NativeRecord(ServerRecord):
    """A server that is a process here.

    `start_mark` says when the process with number `pid` was started, in the system's own terms: a
    process that got the same number later has another mark. `log_start` is where in `log_file`
    this server's output begins.
    """

    pid: int
    start_mark: str
    log_file: Path
    log_start: RunStart

    @classmethod
    def of(
        cls,
        pid: int,
        start_mark: str,
        started_at: float,
        spec: ServerSpec,
        log: tuple[Path, int],
        heading: str = "",
    ) -> NativeRecord:
        """The record of a process; `log` is the file and where its output begins.

        `heading` is the line before it.
        """
        return cls(
            environment=ENVIRONMENT,
            id=f"{pid}:{start_mark}",
            pid=pid,
            start_mark=start_mark,
            started_at=started_at,
            spec=spec,
            log_file=log[0],
            log_start=RunStart(log[1], heading),
        )


def record_to_json(record: NativeRecord) -> dict[str, Any]:
    """The record as a file holds it."""
    return {
        "pid": record.pid,
        "start_mark": record.start_mark,
        "started_at": record.started_at,
        "spec": record.spec.to_json(),
        "log_file": str(record.log_file),
        "log_offset": record.log_start.offset,
        "log_heading": record.log_start.heading,
    }


def record_from_json(data: dict[str, Any], configured: ShareConfig | None = None) -> NativeRecord:
    """The record that was written; `configured` as in `ServerSpec.from_json`.

    Raises KeyError, TypeError or ValueError for anything else.
    """
    return NativeRecord.of(
        data["pid"],
        data["start_mark"],
        data["started_at"],
        ServerSpec.from_json(data["spec"], configured),
        (Path(data["log_file"]), data["log_offset"]),
        # Earlier versions wrote none.
        str(data.get("log_heading", "")),
    )
