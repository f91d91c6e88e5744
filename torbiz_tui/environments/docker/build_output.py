"""What an engine says while it builds: the step, the bytes received, the lines to show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torbiz_tui.logs.sanitizing import sanitize_line

LAST_LINES = 20
_LONGEST_LINE = 4000
_LONGEST_INSTRUCTION = 60

# Docker: "Step 4/12 : RUN …"; Podman: "STEP 4/12: RUN …", also "[1/2] STEP 4/12: RUN …".
# Podman counts the steps of each stage anew.
_STEP = re.compile(
    r"^(?:\[(?P<stage>\d+)/(?P<stages>\d+)\] )?step (?P<step>\d+)/(?P<steps>\d+) ?: (?P<text>.*)$",
    re.IGNORECASE,
)
_LAYER = re.compile(r"^ ?-+> (?:Using cache )?([0-9a-f]{12,64})$")
# uv: "Downloading torch (182.9MiB)", later " Downloaded torch"; pip: "  Downloading a.whl (17.6 MB)".
_ANNOUNCED = re.compile(r"^\s*Downloading (\S+) \(([\d.]+) ?([KMG]?)i?B\)", re.IGNORECASE)
_DOWNLOADED = re.compile(r"^\s*Downloaded (\S+)")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_SGR = re.compile(r"\x1b\[[0-9;:]*m")


@dataclass
class BuildOutput:
    """The state of one build, from what `feed` was given.

    `step` of `steps` is the one that runs, `instruction` its text. `received` are the bytes of the
    base image and of the packages that have come so far, as far as the engine and uv tell.
    `stage_image` is the last image of the first stage; `error` the engine's own words.
    """

    step: int = 0
    steps: int = 0
    instruction: str = ""
    stage_image: str = ""
    error: str = ""
    last_lines: list[str] = field(default_factory=list)
    _rest: str = ""
    _stages: int = 0
    _part: tuple[int, int] = (1, 1)
    _layer: str = ""
    _pulled: dict[str, int] = field(default_factory=dict)
    _announced: dict[str, int] = field(default_factory=dict)
    _fetched: int = 0

    @property
    def received(self) -> int:
        """Bytes received so far."""
        return sum(self._pulled.values()) + self._fetched

    def feed(self, item: Mapping[str, Any]) -> list[str]:
        """Take one object of the engine's answer; returns the lines that it completes."""
        if "error" in item or "errorDetail" in item:
            detail = item.get("errorDetail") or {}
            self.error = sanitize_line(
                " ".join(str(detail.get("message") or item.get("error")).split())
            )
            return self.finish()
        if "stream" in item:
            return self._take(str(item["stream"]))
        if "status" in item:
            return self._pull(item)
        return []

    def finish(self) -> list[str]:
        """The last line when it had no end."""
        return self._take("\n") if self._rest else []

    def _take(self, text: str) -> list[str]:
        # Colours begin and end anywhere in a line.
        *lines, self._rest = (self._rest + _SGR.sub("", text)).split("\n")
        if len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest)
            self._rest = ""
        shown = [line.rstrip("\r")[:_LONGEST_LINE] for line in lines if line.strip()]
        for line in shown:
            self._line(line)
        return shown

    def _line(self, line: str) -> None:
        if match := _STEP.match(line):
            self.step, self.steps = int(match["step"]), int(match["steps"])
            self._part = int(match["stage"] or 1), int(match["stages"] or 1)
            self.instruction = " ".join(sanitize_line(match["text"]).split())
            self._stages += self.instruction.upper().startswith("FROM ")
            if self._stages == 2 and not self.stage_image:
                self.stage_image = self._layer
            self.last_lines.clear()
        elif match := _LAYER.match(line):
            self._layer = match[1]
        else:
            self.last_lines = [*self.last_lines, sanitize_line(line)][-LAST_LINES:]
            self._downloads(line)

    def _downloads(self, line: str) -> None:
        if match := _ANNOUNCED.match(line):
            size = int(float(match[2]) * _UNITS[match[3].upper()])
            if match[1].endswith((".whl", ".gz")):
                self._fetched += size
            else:
                self._announced[match[1]] = size
        elif match := _DOWNLOADED.match(line):
            self._fetched += self._announced.pop(match[1], 0)

    def _pull(self, item: Mapping[str, Any]) -> list[str]:
        status, layer = str(item["status"]), str(item.get("id", ""))
        detail = item.get("progressDetail") or {}
        if status == "Downloading" and isinstance(detail.get("current"), int):
            self._pulled[layer] = detail["current"]
            return []
        if status == "Extracting" or detail:
            return []
        return [f"{layer}: {status}" if layer else status]

    @property
    def fraction(self) -> float | None:
        """How many of the steps are over, from 0 to 1; None before the first."""
        stage, stages = self._part
        return (stage - 1 + (self.step - 1) / self.steps) / stages if self.steps else None

    def sentence(self) -> str:
        """`Step 4/9: RUN …, 312 MB received`."""
        if not self.steps:
            return "Preparing" if not self.received else f"{self.received / 1e6:.0f} MB received"
        instruction = self.instruction
        if len(instruction) > _LONGEST_INSTRUCTION:
            instruction = instruction[: _LONGEST_INSTRUCTION - 1] + "…"
        text = f"Step {self.step}/{self.steps}: {instruction}"
        return f"{text}, {self.received / 1e6:.0f} MB received" if self.received else text
