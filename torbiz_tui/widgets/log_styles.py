"""What the parts of a log look like; `ansi` themes have no shades to mute with."""

from __future__ import annotations

SOURCES = 6
"""How many colours the names of sources have."""

STYLES = (
    "critical",
    "error",
    "warning",
    "debug",
    "head",
    "empty",
    "match",
    "current",
    "cursor",
    "mark",
    "symptom",
    "selected",
    *(f"source-{number}" for number in range(SOURCES)),
)

# The shades of a theme become grey where a terminal has 16 colours. These are 16 themselves.
_RED, _GREEN, _BLUE = ("#ff5555", "#aa0000"), ("#55ff55", "#00aa00"), ("#5555ff", "#0000aa")
_YELLOW, _MAGENTA, _CYAN = ("#ffff55", "#aa5500"), ("#ff55ff", "#aa00aa"), ("#55ffff", "#00aaaa")
IN_16_COLOURS = {
    "critical": _RED,
    "error": _RED,
    "warning": _YELLOW,
    "mark": _GREEN,
    "cursor": _CYAN,
    "symptom": _YELLOW,
    "source-0": _CYAN,
    "source-1": _GREEN,
    "source-2": _BLUE,
    "source-3": _YELLOW,
    "source-4": _MAGENTA,
    "source-5": _RED,
}
"""The colour of a part on a dark and on a light background, where there are only 16."""

CSS = """
LogDrawing {
    background: $background;
    color: $foreground;
    scrollbar-gutter: stable;
    scrollbar-size-vertical: 1;
    scrollbar-size-horizontal: 1;
}
LogDrawing .log--critical { color: $text-error; text-style: bold; }
LogDrawing .log--error { color: $text-error; }
LogDrawing .log--warning { color: $text-warning; }
LogDrawing .log--debug { color: $text-muted; }
LogDrawing .log--head { color: $text-muted; }
LogDrawing .log--empty { color: $text-muted; }
LogDrawing .log--match { text-style: underline bold; }
LogDrawing .log--current { text-style: reverse bold; }
LogDrawing .log--cursor { color: $text-accent; text-style: bold; }
LogDrawing .log--mark { color: $text-success; text-style: bold; }
LogDrawing .log--symptom { color: $text-warning; text-style: bold reverse; }
LogDrawing .log--selected { text-style: reverse; }
LogDrawing .log--source-0 { color: $text-accent; }
LogDrawing .log--source-1 { color: $text-success; }
LogDrawing .log--source-2 { color: $text-primary; }
LogDrawing .log--source-3 { color: $text-warning; }
LogDrawing .log--source-4 { color: $text-secondary; }
LogDrawing .log--source-5 { color: $text-error; }
LogDrawing:ansi .log--debug { text-style: dim; }
LogDrawing:ansi .log--head { text-style: dim; }
LogDrawing:ansi .log--empty { text-style: dim; }
"""
