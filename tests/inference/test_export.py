"""A conversation in a file: what people read, what programs read, and what is never overwritten."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.conversations import Conversation, Turn
from torbiz_tui.inference.events import GenerateOptions, Hop, Route
from torbiz_tui.inference.export import to_json, to_markdown, write_export

CODE = "Like this:\n\n```python\n# not a heading\nprint('hi')\n```\n\nThat is all."


def conversation(*answers: str) -> Conversation:
    """A conversation with these answers."""
    turns: list[Turn] = []
    for number, answer in enumerate(answers):
        parent = turns[-1].id if turns else None
        turns.append(Turn(2 * number + 1, parent, "user", f"question {number}"))
        turns.append(Turn(2 * number + 2, 2 * number + 1, "assistant", answer, model="demo/model"))
    return Conversation(
        3,
        "Code & <b>tags</b>",
        "demo/model",
        system_prompt="Be brief.",
        options=GenerateOptions(64, 0.7, 0.9, 11, ("\n\n",)),
        turns=tuple(turns),
        created_at=1_700_000_000,
        updated_at=1_700_000_600,
    )


def headings(markdown: str) -> list[str]:
    """The headings as a viewer sees them, of the first and the second level."""
    tokens = MarkdownIt("commonmark").parse(markdown)
    return [
        tokens[at + 1].content
        for at, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag in ("h1", "h2") and token.level == 0
    ]


def test_markdown_has_what_was_said_and_how() -> None:
    markdown = to_markdown(conversation(CODE, "second"))
    assert headings(markdown) == [
        r"Code \& \<b\>tags\</b\>",
        "System prompt",
        "Question",
        "Answer of demo/model",
        "Question",
        "Answer of demo/model",
    ]
    assert f"\n\n{CODE}\n\n" in markdown
    assert "question 1" in markdown
    assert "- Model: demo/model\n" in markdown
    assert "2023-11-14 22:13 UTC" in markdown
    assert "temperature 0.7, top-p 0.9, at most 64 tokens, seed 11" in markdown
    code = [t.content for t in MarkdownIt("commonmark").parse(markdown) if t.type == "fence"]
    assert code == ["# not a heading\nprint('hi')\n"]


@pytest.mark.parametrize(
    "unclosed",
    [
        "```python\nprint('cut of",
        "~~~~\ntext with ``` inside",
        "1. a list\n\n   ```sh\n   ls",
        "> ```\n> quoted",
        "text <!-- a comment",
        "<!-- a comment at the beginning",
        "<script>\nalert(1)",
        "<pre>\n\nspaced\n\ntext",
        "<?php echo 1",
        "<![CDATA[ x",
        "````\n```\n<!--",
        "<div>\nnot closed",
    ],
)
def test_what_an_answer_leaves_open_does_not_swallow_the_next_question(unclosed: str) -> None:
    markdown = to_markdown(conversation(unclosed, "second"))
    assert headings(markdown)[-3:] == ["Answer of demo/model", "Question", "Answer of demo/model"]
    assert unclosed in markdown


@given(st.lists(st.sampled_from(["```", "~~~", "````", "<!--", "<pre>", "\n", " ", "x", "> ", "- ",
                                 "    ", "-->", "# h", "\t", "1. ", "<a", "]]>", "\r"]), max_size=25))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_every_message_is_seen_under_its_heading(parts: list[str]) -> None:
    markdown = to_markdown(conversation("".join(parts), "second"))
    assert headings(markdown)[-2:] == ["Question", "Answer of demo/model"]


def test_markdown_says_what_did_not_end_well() -> None:
    whole = conversation("one", "two", "three", "")
    states = [
        {"finish_reason": "cancelled"},
        {"state": "failed", "note": "The server *died*."},
        {"state": "interrupted"},
        {"state": "complete"},
    ]
    turns = list(whole.turns)
    for at, fields in enumerate(states):
        turns[2 * at + 1] = replace(turns[2 * at + 1], **fields)  # type: ignore[arg-type]
    markdown = to_markdown(replace(whole, turns=tuple(turns)))
    assert "*Stopped before its end.*" in markdown
    assert r"*Failed: The server \*died\*.*" in markdown
    assert "*Interrupted.*" in markdown


def test_json_has_the_whole_tree_and_marks_the_path() -> None:
    shown = conversation(CODE)
    route = Route(8, (Hop(0, 8, "QmPeer", "alice"),))
    path = (shown.turns[0], replace(shown.turns[1], route=route, completion_tokens=9))
    other = Turn(7, 1, "assistant", "\u00fc\u202e\x1b", state="failed", note="gone")
    written = json.loads(to_json(replace(shown, turns=path, tree=(*path, other))))
    assert (written["format"], written["version"]) == ("torbiz-conversation", 1)
    assert written["active_path"] == [1, 2]
    assert [(turn["id"], turn["parent_id"]) for turn in written["turns"]] == [
        (1, None),
        (2, 1),
        (7, 1),
    ]
    assert written["turns"][1]["content"] == CODE
    assert written["turns"][1]["usage"]["completion_tokens"] == 9
    assert written["turns"][1]["route"]["hops"][0]["name"] == "alice"
    assert written["turns"][2]["content"] == "\u00fc\u202e\x1b"
    assert written["options"]["stop"] == ["\n\n"]
    assert written["created_at"] == "2023-11-14T22:13:20+00:00"


def test_the_schema_that_is_documented_is_the_one_that_is_written() -> None:
    document = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")
    written = json.loads(to_json(conversation("a")))
    turn = written["turns"][0]
    keys = [*written, *turn, *turn["usage"], *turn["timing"], *written["options"]]
    assert [key for key in keys if f"`{key}`" not in document] == []


@pytest.mark.parametrize(("name", "begins"), [("a.md", "# "), ("a.json", "{"), ("a.JSON", "{")])
def test_the_name_decides_the_format(tmp_path: Path, name: str, begins: str) -> None:
    write_export(conversation("a"), tmp_path / name)
    assert (tmp_path / name).read_text("utf-8").startswith(begins)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_file_that_is_there_is_overwritten_only_when_told(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(TorbizError) as caught:
        write_export(conversation("a"), file)
    assert caught.value.code == "export_exists"
    assert str(file) in str(caught.value)
    assert file.read_text("utf-8") == "mine"
    write_export(conversation("a"), file, overwrite=True)
    assert file.read_text("utf-8").startswith("# Code")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_full_disk_leaves_no_half_of_a_file(small_disk: Path, overwrite: bool) -> None:
    file = small_disk / "a.md"
    if overwrite:
        file.write_text("mine", encoding="utf-8")
    with pytest.raises(TorbizError) as caught:
        write_export(conversation("x" * 50_000_000), file, overwrite=overwrite)
    assert caught.value.code == "export_failed"
    assert "No space left" in caught.value.why
    assert str(file) in caught.value.what
    assert [each.read_text("utf-8") for each in small_disk.iterdir()] == ["mine"] * overwrite


@pytest.mark.parametrize("place", ["missing/a.md", ".", "file/a.md"])
def test_a_place_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for overwrite in (True, False):
        with pytest.raises(TorbizError) as caught:
            write_export(conversation("a"), tmp_path / place, overwrite=overwrite)
        assert caught.value.code == "export_failed"
        assert caught.value.why
        assert caught.value.remedy
