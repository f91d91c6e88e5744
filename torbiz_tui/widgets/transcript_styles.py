"""What the parts of a conversation look like; `ansi` themes have no shades to mute with."""

from __future__ import annotations

STYLES = (
    "heading-user",
    "heading-assistant",
    "heading-system",
    "note",
    "rule",
    "h1",
    "h2",
    "h3",
    "strong",
    "emphasis",
    "struck",
    "inline-code",
    "bullet",
    "quote",
    "quote-bar",
    "code",
    "bar",
    "label",
    "comment",
    "keyword",
    "name",
    "number",
    "removed",
    "string",
    "selected",
    "hint",
)

CSS = """
TranscriptView {
    background: $background;
    color: $foreground;
    scrollbar-gutter: stable;
    scrollbar-size-vertical: 1;
    scrollbar-size-horizontal: 0;
    overflow-x: hidden;
}
TranscriptView .transcript--heading-user { color: $text-accent; text-style: bold; }
TranscriptView .transcript--heading-assistant { color: $text-success; text-style: bold; }
TranscriptView .transcript--heading-system { color: $text-warning; text-style: bold; }
TranscriptView .transcript--note { color: $text-muted; }
TranscriptView .transcript--rule { color: $text-muted; }
TranscriptView .transcript--h1 { color: $text-primary; text-style: bold underline; }
TranscriptView .transcript--h2 { color: $text-primary; text-style: bold; }
TranscriptView .transcript--h3 { text-style: bold; }
TranscriptView .transcript--strong { text-style: bold; }
TranscriptView .transcript--emphasis { text-style: italic; }
TranscriptView .transcript--struck { text-style: strike; }
TranscriptView .transcript--inline-code { color: $text-warning; background: $surface; }
TranscriptView .transcript--bullet { color: $text-accent; }
TranscriptView .transcript--quote { text-style: italic; }
TranscriptView .transcript--quote-bar { color: $text-accent; }
TranscriptView .transcript--code { background: $surface; }
TranscriptView .transcript--bar { color: $text-muted; }
TranscriptView .transcript--label { color: $text-muted; text-style: italic; }
TranscriptView .transcript--comment { color: $text-muted; text-style: italic; }
TranscriptView .transcript--keyword { color: $text-accent; text-style: bold; }
TranscriptView .transcript--name { color: $text-primary; }
TranscriptView .transcript--number { color: $text-warning; }
TranscriptView .transcript--removed { color: $text-error; }
TranscriptView .transcript--string { color: $text-success; }
TranscriptView .transcript--selected { color: $text-accent; text-style: bold; }
TranscriptView .transcript--hint { color: $text-accent; text-style: bold reverse; }
TranscriptView:ansi .transcript--heading-user { color: ansi_magenta; }
TranscriptView:ansi .transcript--note { text-style: dim; }
TranscriptView:ansi .transcript--rule { text-style: dim; }
TranscriptView:ansi .transcript--bar { text-style: dim; }
TranscriptView:ansi .transcript--label { text-style: dim; }
TranscriptView:ansi .transcript--comment { text-style: dim; }
"""
