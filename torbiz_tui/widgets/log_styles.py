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
LogView {
    background: $background;
    color: $foreground;
    scrollbar-gutter: stable;
    scrollbar-size-vertical: 1;
    scrollbar-size-horizontal: 1;
}
LogView .log--critical { color: $text-error; text-style: bold; }
LogView .log--error { color: $text-error; }
LogView .log--warning { color: $text-warning; }
LogView .log--debug { color: $text-muted; }
LogView .log--head { color: $text-muted; }
LogView .log--empty { color: $text-muted; }
LogView .log--match { text-style: underline bold; }
LogView .log--current { text-style: reverse bold; }
LogView .log--cursor { color: $text-accent; text-style: bold; }
LogView .log--mark { color: $text-success; text-style: bold; }
LogView .log--symptom { color: $text-warning; text-style: bold reverse; }
LogView .log--selected { text-style: reverse; }
LogView .log--source-0 { color: $text-accent; }
LogView .log--source-1 { color: $text-success; }
LogView .log--source-2 { color: $text-primary; }
LogView .log--source-3 { color: $text-warning; }
LogView .log--source-4 { color: $text-secondary; }
LogView .log--source-5 { color: $text-error; }
LogView:ansi .log--debug { text-style: dim; }
LogView:ansi .log--head { text-style: dim; }
LogView:ansi .log--empty { text-style: dim; }
"""
