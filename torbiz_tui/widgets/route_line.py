"""Which servers compute an answer, in one line that says less where there is less room."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from torbiz_tui.inference.events import Hop, Route, blocks_text
from torbiz_tui.logs.sanitizing import sanitize_line

_NAME_CHARS = 24
ON_THIS_MACHINE = "on this machine, no swarm"


def _short(peer: str) -> str:
    return "…" + sanitize_line(peer)[-6:]


def _name(hop: Hop) -> str:
    """A name comes from the network: one safe line of it, not too long."""
    name = " ".join(sanitize_line(hop.name).split())
    return name if len(name) <= _NAME_CHARS else name[: _NAME_CHARS - 1] + "…"


def _blocks(hop: Hop) -> str:
    return blocks_text(((hop.first, hop.end),))


def route_texts(route: Route) -> list[str]:
    """The route in words, the longest first."""
    if route.local:
        return [ON_THIS_MACHINE]
    full, short = [], []
    for hop in route.hops:
        name, peer = _name(hop), _short(hop.peer)
        full.append(f"{_blocks(hop)} via {f'{name} ({peer})' if name else peer}")
        short.append(f"{_blocks(hop)} {name or peer}")
    servers = "1 server" if len(route.hops) == 1 else f"{len(route.hops)} servers"
    return [
        " → ".join(full),
        " → ".join(short),
        f"{route.num_blocks} blocks over {servers}",
    ]


def servers_text(route: Route) -> str:
    """Who computed an answer: `via alice → …vYA3Rn`; empty where no swarm did."""
    names = [_name(hop) or _short(hop.peer) for hop in route.hops]
    if not names or route.local:
        return ""
    return f"via {' → '.join(names)}{f' with {route.adapter}' if route.adapter else ''}"


class RouteLine(Widget):
    """The servers that would answer now, or what hinders them."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    RouteLine { height: 1; padding: 0 1; color: $text-muted; }
    RouteLine.-warning { color: $text-warning; }
    """
    route: reactive[Route | None] = reactive(None)
    problem: reactive[str] = reactive("")

    def watch_route(self) -> None:
        """Warn in colour too."""
        self._colour()

    def watch_problem(self) -> None:
        """Warn in colour too."""
        self._colour()

    def _colour(self) -> None:
        missing = self.route is not None and not self.route.complete
        self.set_class(bool(self.problem) or missing, "-warning")

    def render(self) -> Content:
        """The longest text that fits."""
        width = self.content_region.width
        texts = self._texts()
        chosen = next((text for text in texts if Content(text).cell_length <= width), texts[-1])
        return Content(chosen)

    def _texts(self) -> list[str]:
        if self.problem:
            return [f"⚠ {sanitize_line(self.problem)}"]
        route = self.route
        if route is None:
            return [""]
        if not route.complete:
            missing = blocks_text(route.missing)
            if route.without_adapter:
                return [f"⚠ {sanitize_line(str(route))}", f"⚠ no adapter for blocks {missing}"]
            return [
                f"⚠ nobody serves blocks {missing} of {route.num_blocks}   Ctrl+S shares them",
                f"⚠ nobody serves blocks {missing}   Ctrl+S",
                f"⚠ blocks {missing} missing",
            ]
        return route_texts(route)
