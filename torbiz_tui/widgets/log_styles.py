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
