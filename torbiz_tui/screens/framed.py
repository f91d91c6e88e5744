"""A frame in the middle that lies over a screen."""

from __future__ import annotations

from textual.screen import ModalScreen, ScreenResultType


class FramedScreen(ModalScreen[ScreenResultType]):
    """What is composed in `#frame` stands in the middle, as high as it needs."""

    DEFAULT_CSS = """
    FramedScreen { align: center middle; }
    FramedScreen #frame {
        max-width: 100%;
        height: auto;
        max-height: 100%;
        padding: 1 2;
        background: $surface;
        border: round $primary;
        border-title-color: $foreground;
    }
    """
