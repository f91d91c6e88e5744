"""Decoding token by token, without a model."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from .runner_process import SCRIPTS


def assembler(stop_strings: Sequence[str] = ()) -> Any:
    sys.path.insert(0, str(SCRIPTS))
    try:
        module = importlib.import_module("token_stream")
    finally:
        sys.path.remove(str(SCRIPTS))
    return module.TextAssembler(lambda ids: bytes(ids).decode("utf-8", "replace"), stop_strings)


@pytest.mark.parametrize(
    "text", ["plain", "Größe, 茶, \N{SNOWMAN} and 👩‍👩‍👧 " * 40, "", "é" * 100]
)
def test_pieces_add_up_and_never_show_half_a_character(text: str) -> None:
    stream = assembler()
    pieces = [stream.add(byte) for byte in text.encode()]
    assert "".join(pieces) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)
    assert stream.is_complete


def test_half_a_character_at_the_end_is_not_shown() -> None:
    stream = assembler()
    assert "".join(stream.add(byte) for byte in "ab茶".encode()[:-1]) == "ab"
    assert not stream.is_complete


def test_bytes_that_are_no_text_do_not_stop_the_stream() -> None:
    stream = assembler()
    pieces = "".join(stream.add(byte) for byte in [0xFF] * 500)
    assert len(pieces) > 450


def test_stop_strings_are_cut_off_and_their_beginnings_held_back() -> None:
    stream = assembler(["\nUser:"])
    shown = "".join(stream.add(byte) for byte in b"Yes.\nUs\nUser: more")
    assert shown == "Yes.\nUs"
    assert stream.stopped
    stream = assembler(["\nUser:"])
    shown = "".join(stream.add(byte) for byte in b"Yes.\nUse")
    assert shown == "Yes."
    assert stream.finish() == "\nUse"


def test_time_is_linear() -> None:
    sizes: list[int] = []
    stream = assembler()
    decode = stream._decode

    def measured(ids: Sequence[int]) -> str:
        sizes.append(len(ids))
        return str(decode(ids))

    stream._decode = measured
    for _ in range(2000):
        stream.add(ord("a"))
    assert max(sizes) < 100
