"""The line at the top: the tabs, where this is, and whether it shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget

from torbiz_tui.sharing.state import Phase, SharingState, Stage

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services

TABS = (
    ("setup", "F1", "Setup"),
    ("share", "F2", "Share"),
    ("ask", "F3", "Ask"),
    ("logs", "F4", "Logs"),
)


def swarm_label(*, new_swarm: bool, initial_peers: tuple[str, ...]) -> str:
    """`public`, `private`, or `private, new`."""
    if initial_peers:
        return "private"
    return "private, new" if new_swarm else "public"


def swarm_of(services: Services) -> str:
    """The swarm of the hosted server, or the one that the configuration names."""
    spec = services.sharing.state.spec
    if spec is not None and services.sharing.state.active:
        return swarm_label(new_swarm=spec.new_swarm, initial_peers=spec.initial_peers)
    swarm = services.config.swarm
    return swarm_label(new_swarm=swarm.new_swarm, initial_peers=swarm.initial_peers)


def sharing_label(state: SharingState) -> str:
    """The sharing state in words: `serving blocks 0:8`."""
    if state.lost:
        return "no contact"
    if state.paused:
        return "paused"
    if state.phase is Phase.STARTING and state.pauses:
        return f"paused: {state.pauses}"
    if state.phase is Phase.STARTING:
        if state.stage is Stage.LOADING and state.blocks is not None:
            count = state.blocks[1] - state.blocks[0]
            return f"starting: loading blocks {state.blocks_loaded} of {count}"
        stage = state.stage_text
        return f"starting: {stage[:1].lower()}{stage[1:]}" if stage else "starting"
    if state.phase is Phase.SERVING:
        if state.blocks is None:
            return "serving"
        return f"serving blocks {state.blocks[0]}:{state.blocks[1]}"
    return {Phase.STOPPED: "not sharing", Phase.STOPPING: "stopping", Phase.FAILED: "failed"}[
        state.phase
    ]


def short_sharing_label(state: SharingState) -> str:
    """The sharing state in a word or two: `serving 0:8`."""
    if state.lost or state.paused:
        return sharing_label(state)
    if state.phase is Phase.STARTING and state.stage is Stage.LOADING and state.blocks is not None:
        return f"starting {state.blocks_loaded}/{state.blocks[1] - state.blocks[0]}"
    if state.phase is Phase.SERVING and state.blocks is not None:
        return f"serving {state.blocks[0]}:{state.blocks[1]}"
    if state.phase is Phase.STARTING:
        return "paused" if state.pauses else "starting"
    return sharing_label(state)


_COLOURS = {
    Phase.STARTING: "bold $text-warning",
    Phase.SERVING: "bold $text-success",
    Phase.FAILED: "bold $text-error",
}


class HeaderBar(Widget):
    """One line that says less when there is less room, the most important last."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    HeaderBar {
        dock: top;
        height: 1;
        background: $panel;
        color: $foreground;
        link-style: none;
        link-color: $foreground;
    }
    """
    sharing: reactive[SharingState] = reactive(SharingState)

    def __init__(self, services: Services, active: str) -> None:
        super().__init__()
        self._services = services
        self._active = active
        self.set_reactive(HeaderBar.sharing, services.sharing.state)

    def render(self) -> Content:
        """The variant that fits the width."""
        width = self.size.width
        for name, tabs, state in self._variants():
            left = Content.assemble(name, tabs)
            if left.cell_length + state.cell_length <= width:
                gap = width - left.cell_length - state.cell_length
                return Content.assemble(left, " " * gap, state)
        return self._tabs(keys_only=True)

    def _variants(self) -> list[tuple[Content, Content, Content]]:
        name = Content.assemble((" torbiz ", "bold $primary"), " ")
        bare = Content("")
        tabs = self._tabs()
        state, environment = self.sharing, self._services.environment.name
        swarm = swarm_of(self._services)
        long, short = sharing_label(state), short_sharing_label(state)
        return [
            (name, tabs, self._state(environment, swarm, long)),
            (name, tabs, self._state(environment, swarm, short)),
            (bare, tabs, self._state(environment, swarm, short)),
            (bare, tabs, self._state(swarm, long)),
            (bare, tabs, self._state(swarm, short)),
            (bare, tabs, self._state(long)),
            (bare, tabs, self._state(short)),
            (bare, self._tabs(keys_only=True), self._state(long)),
            (bare, self._tabs(keys_only=True), self._state(short)),
            (bare, self._tabs(keys_only=True), self._state(short, demo=False)),
        ]

    def _tabs(self, *, keys_only: bool = False) -> Content:
        parts: list[Content] = []
        for mode, key, title in TABS:
            active = mode == self._active
            text = f" {key} " if keys_only and not active else f" {key} {title} "
            style = Style.from_meta({"@click": f"app.go('{mode}')"})
            tab = Content(text).stylize("bold reverse" if active else "").stylize(style)
            parts.append(tab)
        return Content.assemble(*parts)

    @property
    def _colour(self) -> str:
        if self.sharing.lost or self.sharing.paused or self.sharing.pauses:
            return "bold $text-warning"
        return _COLOURS.get(self.sharing.phase, "")

    def _state(self, *parts: str, demo: bool = True) -> Content:
        *before, sharing = parts
        label = (" DEMO ", "bold reverse") if demo and self._services.demo else ""
        return Content.assemble(
            " ",
            *((f"{part} · ", "dim") for part in before),
            (sharing, self._colour),
            " ",
            label,
        )
