"""Foreign text is shown, never acted upon; tokens are not shown at all."""

from __future__ import annotations

import logging
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from torbiz_tui.logs import redaction
from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.sanitizing import sanitize_line, sanitize_text
from torbiz_tui.logs.writing import logger, start_logging
from torbiz_tui.paths import Paths

HOSTILE = "\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b[10;10H\x9b31m\u202egnp.exe\x08\x00\x1bP1;q\x1b\\"


def test_escapes_are_shown_as_text() -> None:
    shown = sanitize_line(HOSTILE)
    assert "owned" in shown
    assert "gnp.exe" in shown
    assert shown.isprintable()


WORDS = (
    "hf_ HF_ api_org_ Token --token --api-\u212aey HF_TOKEN _ KEY \" ' = ? & : / :// SIG bearer"
    " s\u0131g \u017fig Author\u0131zation Authorization https me @ none abcdefgh1234 signature -"
    " ?s\u0131g=1 ?signature=1 'api_key' 'apikey':'1 node_token"
)
PIECES = st.sampled_from([*WORDS.split(), " "])


@given(st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join))
def test_a_line_that_is_passed_over_has_nothing_to_redact(text: str) -> None:
    expected = redaction._TOKENS.sub(redaction._SHOWN, text)
    expected = redaction._NAMED.sub(rf"\1{redaction._SHOWN}", expected)
    expected = redaction._URL_PASSWORD.sub(rf"\1{redaction._SHOWN}\3", expected)
    assert redact(text) == expected


@given(st.text())
def test_nothing_that_a_terminal_acts_upon_is_left(text: str) -> None:
    assert not set(sanitize_line(text)) & set(
        map(chr, [*range(9), *range(10, 32), *range(127, 160)])
    )
    assert not set(sanitize_text(text)) & set(
        map(chr, [*range(9), *range(11, 32), *range(127, 160)])
    )


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1b")), st.integers(0))
def test_pieces_give_the_same_as_the_whole(text: str, cut: int) -> None:
    cut = cut % (len(text) + 1)
    assert sanitize_text(text[:cut]) + sanitize_text(text[cut:]) == sanitize_text(text)


def test_what_turns_or_hides_text_is_shown() -> None:
    for code in (0xAD, 0x200B, 0x200F, 0x202E, 0x2028, 0x2066, 0x2069, 0x206A, 0xFFF9, 0xE0041):
        assert sanitize_text(f"a{chr(code)}b") == f"a\u27e8U+{code:04X}\u27e9b"
    # What scripts and emoji are written with stays.
    for kept in (
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f469\u200d\U0001f4bb",
        "\u2764\ufe0f",
        "e\u0301",
    ):
        assert sanitize_text(kept) == kept


def test_colours_go_and_plain_text_stays() -> None:
    assert sanitize_line("\x1b[1;31mred\x1b[0m caf\u00e9 \t tab") == "red caf\u00e9 \t tab"
    assert sanitize_text("a\nb\r\nc") == "a\nb\nc"


def test_a_progress_bar_shows_its_last_state() -> None:
    assert sanitize_line("10%\r50%\r100%\r") == "100%"


def test_tokens_are_redacted() -> None:
    secret = "hf_" + "aB3" * 10
    for text in (
        f"token {secret} used",
        f"--node-token {secret[3:]} x",
        f"HF_TOKEN={secret}",
        f"Authorization: Bearer {secret[3:]}",
        f"GET https://host/a?token={secret[3:]}&b=1",
        f"https://user:{secret[3:]}@host/simple",
    ):
        assert secret[3:] not in redact(text), text
    assert redact("a block token of 12 words") == "a block token of 12 words"
    # The file that holds a token is no token.
    option = "--env HF_TOKEN_PATH=/run/secrets/hf_token \\\n    --init"
    assert redact(option) == option


def test_the_log_file_holds_no_token(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.ensure()
    start_logging(paths)
    secret = "hf_" + "z" * 30
    try:
        raise ValueError(f"bad token {secret}")
    except ValueError:
        logger("app").exception("failed with %s", secret)
    logging.getLogger("torbiz.app").info("done")
    text = (tmp_path / "logs" / "app.log").read_text("utf-8")
    assert secret not in text
    assert "ValueError" in text
