"""What the hosted server is doing, as far as its log and the system tell."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from torbiz_tui.environments.base import ExitReport, ResourceSample, ServerSpec
from torbiz_tui.sharing.downloads import Download
from torbiz_tui.sharing.histories import NO_HISTORIES, Histories
from torbiz_tui.sharing.served import Served, SwarmSeen
from torbiz_tui.troubleshooting.symptom import Explanation, Severity

if TYPE_CHECKING:
    from torbiz_tui.hardware.gpu_use import GpuUse


class Phase(StrEnum):
    """The life of a hosted server."""

    STOPPED = "stopped"
    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"
    FAILED = "failed"


class Stage(StrEnum):
    """The stages of a start, in order."""

    PREPARING = "preparing"
    LAUNCHING = "launching"
    DOWNLOADING = "downloading"
    CONNECTING = "connecting"
    MEASURING = "measuring"
    ANNOUNCING = "announcing"
    LOADING = "loading"
    CHECKING = "checking"
    SERVING = "serving"


STAGE_TITLES = {
    Stage.PREPARING: "Installing what adapters need",
    Stage.LAUNCHING: "Starting Petals",
    Stage.DOWNLOADING: "Downloading",
    Stage.CONNECTING: "Connecting to the swarm",
    Stage.MEASURING: "Measuring throughput",
    Stage.ANNOUNCING: "Announcing the blocks",
    Stage.LOADING: "Loading blocks",
    Stage.CHECKING: "Confirming in the DHT",
    Stage.SERVING: "Serving",
}


@dataclass(frozen=True)
class SharingEvent:
    """Something that happened to the server, in plain words; `at` is seconds since the epoch.

    `known` is the known symptom that its log showed there.
    """

    at: float
    text: str
    warning: bool = False
    known: Explanation | None = None

    @property
    def problem(self) -> Explanation | None:
        """What is known of it, unless it is harmless."""
        if self.known is None or self.known.symptom.severity is Severity.BENIGN:
            return None
        return self.known


@dataclass(frozen=True)
class SharingState:
    """One moment of the hosted server.

    `preparing` is what is being done before there is a server, in the stage of that name.
    `blocks` is the range served, end excluded. `download` is how the download of them went in this
    run, None where there was none. `addresses` are the multiaddrs to invite others
    with, `peers_seen` those of other peers that the server knows. `pid` or `container` (its name) with `container_id` say where it runs. `paused`: it is
    frozen and answers nobody. `draining`: it is stopping, and finishes before what it is answering.
    `finishing`: it says so itself, whoever has asked it to stop.
    `lost` says why nobody knows how it is, such as an engine that does
    not answer; all else is then as it was. `restart_at`: it has crashed, and is started again then
    (seconds since the epoch). `pauses` says why it may not serve now. `served` is what it says of
    its own serving, `earlier` what it had served before it was started again, `swarm` what its node
    of the DHT knows of the swarm; None until it tells. `gpu` is how busy the GPU is with all that
    runs on it, `histories` the last minutes of all these. `exit_report` and `failure` are there when it has ended
    otherwise than asked, and `ended_by` where a known problem has ended it.
    """

    phase: Phase = Phase.STOPPED
    stage: Stage | None = None
    preparing: str = ""
    spec: ServerSpec | None = None
    pid: int | None = None
    container: str | None = None
    container_id: str | None = None
    paused: bool = False
    draining: bool = False
    finishing: bool = False
    lost: str = ""
    blocks: tuple[int, int] | None = None
    blocks_loaded: int = 0
    download: Download | None = None
    started_at: float | None = None
    serving_since: float | None = None
    throughput: float | None = None
    addresses: tuple[str, ...] = ()
    peers_seen: tuple[str, ...] = ()
    requests_open: int = 0
    requests_total: int = 0
    served: Served | None = None
    earlier: Served | None = None
    swarm: SwarmSeen | None = None
    resources: ResourceSample | None = None
    gpu: GpuUse | None = None
    histories: Histories = NO_HISTORIES
    restart_at: float | None = None
    pauses: str = ""
    exit_report: ExitReport | None = None
    failure: str = ""
    remedy: str = ""
    ended_by: Explanation | None = None
    events: tuple[SharingEvent, ...] = ()

    @property
    def active(self) -> bool:
        """Whether a server process is there."""
        going_on = self.phase in (Phase.STARTING, Phase.SERVING, Phase.STOPPING)
        return going_on and self.stage is not Stage.PREPARING

    @property
    def problem(self) -> Explanation | None:
        """The known problem that ended it, else the last of which its log told in this run."""
        if self.ended_by is not None:
            return self.ended_by
        event = self.problem_event
        return event.problem if event is not None else None

    @property
    def problem_event(self) -> SharingEvent | None:
        """When its log told of a known problem last; None for what runs no more."""
        if self.phase in (Phase.STOPPED, Phase.STOPPING):
            return None
        return next((event for event in reversed(self.events) if event.problem is not None), None)

    @property
    def uptime_s(self) -> float | None:
        """Seconds since it has been serving."""
        return None if self.serving_since is None else max(0.0, time.time() - self.serving_since)

    @property
    def stage_text(self) -> str:
        """The stage in words: `Loading blocks: 3 of 8`."""
        if self.stage is None:
            return ""
        if self.pauses:
            return f"Paused: {self.pauses}"
        if self.restart_at is not None:
            at = time.strftime("%H:%M:%S", time.localtime(self.restart_at))
            return f"Crashed; starting again at {at}"
        title = STAGE_TITLES[self.stage]
        if self.stage is Stage.PREPARING and self.preparing:
            return f"{title}: {self.preparing}"
        if self.stage is Stage.DOWNLOADING and self.download is not None:
            return f"{title}: {self.download.text}"
        if self.stage is Stage.LOADING and self.blocks is not None:
            return f"{title}: {self.blocks_loaded} of {self.blocks[1] - self.blocks[0]}"
        return title
