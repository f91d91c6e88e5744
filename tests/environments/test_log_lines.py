"""The engine's answer made into lines: nothing lost, doubled or torn, however it arrives."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torbiz_tui.environments.docker.log_lines import (
    LONGEST_LINE,
    LineDecoder,
    Position,
    Repeats,
    Resumption,
    StampedLine,
    advance,
    is_later,
    moment,
)

ENTRY_BYTES = 16_384
OUTPUT, ERRORS, ENGINE = 1, 2, 3

texts = st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=12)
cuts = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def stamp(number: int, *, nanoseconds: bool = True) -> str:
    second, rest = divmod(number, 10) if nanoseconds else (number // 10, 0)
    text = f"2026-11-24T02:{second // 60 % 60:02}:{second % 60:02}"
    return f"{text}.{rest:09}Z" if nanoseconds else f"{text}Z"


def frame(kind: int, when: str, text: bytes) -> bytes:
    payload = f"{when} ".encode() + text
    return struct.pack(">BxxxL", kind, len(payload)) + payload


def in_pieces(data: bytes, steps: Sequence[int]) -> list[bytes]:
    pieces, at, turn = [], 0, 0
    while at < len(data):
        step = steps[turn % len(steps)]
        pieces.append(data[at : at + step])
        at += step
        turn += 1
    return pieces


def decoded(decoder: LineDecoder, pieces: Sequence[bytes]) -> list[StampedLine]:
    lines = [line for piece in pieces for line in decoder.feed(piece)]
    return lines + decoder.finish()


@given(st.lists(st.tuples(st.sampled_from((OUTPUT, ERRORS)), texts)), cuts)
def test_lines_do_not_depend_on_how_the_frames_arrive(
    written: list[tuple[int, str]], steps: list[int]
) -> None:
    data = b"".join(
        frame(kind, stamp(at), f"{text}\n".encode()) for at, (kind, text) in enumerate(written)
    )
    assert decoded(LineDecoder(framed=True), in_pieces(data, steps)) == [
        StampedLine(stamp(at), text.removesuffix("\r")) for at, (_, text) in enumerate(written)
    ]


@given(st.lists(texts), cuts)
def test_the_lines_of_a_terminal_come_without_frames(written: list[str], steps: list[int]) -> None:
    data = b"".join(f"{stamp(at)} {text}\r\n".encode() for at, text in enumerate(written))
    assert decoded(LineDecoder(framed=False), in_pieces(data, steps)) == [
        StampedLine(stamp(at), text) for at, text in enumerate(written)
    ]


@given(st.integers(1, 4 * ENTRY_BYTES), st.sampled_from((True, False)))
def test_a_long_line_is_put_together_from_its_entries(length: int, framed: bool) -> None:
    text = ("0123456789" * (length // 10 + 1))[:length].encode()
    parts = [text[at : at + ENTRY_BYTES] for at in range(0, length, ENTRY_BYTES)]
    parts[-1] += b"\n"
    if framed:
        other = frame(ERRORS, stamp(2), b"between\n")
        data = other.join(frame(OUTPUT, stamp(1), part) for part in parts)
    else:
        data = b"".join(f"{stamp(1)} ".encode() + part for part in parts)
    lines = decoded(LineDecoder(framed=framed), [data])
    assert StampedLine(stamp(1), text.decode()) in lines
    assert [line.text for line in lines if line.stamp != stamp(1)] == ["between"] * (
        len(parts) - 1 if framed else 0
    )


def test_a_character_that_two_entries_share_is_whole() -> None:
    one, other = "é".encode()[:1], "é".encode()[1:]
    data = frame(OUTPUT, stamp(1), one) + frame(OUTPUT, stamp(1), other + b"\n")
    assert decoded(LineDecoder(framed=True), [data]) == [(stamp(1), "é")]


def test_a_line_that_a_dead_program_left_open_ends_where_it_is_started_again() -> None:
    data = frame(OUTPUT, stamp(1), b"no end") + frame(OUTPUT, stamp(2), b"again\n")
    decoder = LineDecoder(framed=True)
    assert decoded(decoder, [data]) == [(stamp(1), "no end"), (stamp(2), "again")]
    assert decoded(decoder, [frame(ERRORS, stamp(3), b"left")]) == [(stamp(3), "left")]


def test_podmans_entries_of_one_line_have_stamps_of_their_own() -> None:
    seconds = [stamp(number, nanoseconds=False) for number in (10, 20, 30)]
    data = (
        frame(OUTPUT, seconds[0], b"slow ")
        + frame(ERRORS, seconds[1], b"between\n")
        + frame(OUTPUT, seconds[2], b"line\n")
    )
    assert decoded(LineDecoder(framed=True, shared_stamps=False), [data]) == [
        (seconds[1], "between"),
        (seconds[2], "slow line"),
    ]


def test_bytes_that_are_no_text_and_escapes_stay_in_their_line() -> None:
    data = frame(OUTPUT, stamp(1), b"x\xff\x00\x1b[2J\x85\xe2\x80\xa8y\rz\r\n")
    assert decoded(LineDecoder(framed=True), [data]) == [
        (stamp(1), "x\ufffd\x00\x1b[2J\ufffd\u2028y\rz")
    ]


def test_what_the_engine_cannot_read_is_not_a_line() -> None:
    decoder = LineDecoder(framed=True)
    data = struct.pack(">BxxxL", ENGINE, 22) + b"Error grabbing logs: x"
    assert decoded(decoder, [data, frame(OUTPUT, stamp(1), b"a\n")]) == [(stamp(1), "a")]
    assert decoder.complaints == ["Error grabbing logs: x"]


def test_a_line_that_never_ends_is_given_in_parts() -> None:
    decoder = LineDecoder(framed=True)
    got: list[StampedLine] = []
    for _ in range(LONGEST_LINE // ENTRY_BYTES + 2):
        got += decoder.feed(frame(OUTPUT, stamp(1), b"a" * ENTRY_BYTES))
    assert len(got) == 1
    assert len(got[0].text) > LONGEST_LINE


@pytest.mark.parametrize(
    ("text", "seconds", "nanoseconds"),
    [
        ("2026-11-24T02:56:44.102468461Z", 1795489004, 102468461),
        ("2026-11-24T02:56:44Z", 1795489004, 0),
        ("2026-11-24T03:56:44.5+01:00", 1795489004, 500_000_000),
        ("2026-11-23T21:26:44.000000001-05:30", 1795489004, 1),
    ],
)
def test_the_engines_times_are_read(text: str, seconds: int, nanoseconds: int) -> None:
    assert moment(text) == (seconds, nanoseconds)
    with pytest.raises(ValueError, match="no RFC 3339 time"):
        moment(text[1:])


def test_times_of_different_forms_are_compared() -> None:
    assert is_later("2026-11-24T02:56:44.5Z", "2026-11-24T03:56:44.400000000+01:00")
    assert not is_later("2026-11-24T02:56:44Z", "2026-11-24T02:56:44.000000000Z")
    assert is_later("2026-11-24T02:56:45Z", "2026-11-24T02:56:44.9Z")


@st.composite
def logs(draw: st.DrawFn) -> list[StampedLine]:
    """A log: runs of one stamp in the seconds of Podman, or Docker's, a little out of order."""
    gaps = draw(st.lists(st.integers(0, 12), max_size=40))
    nanoseconds = draw(st.booleans())
    lines, at = [], 0
    for number, gap in enumerate(gaps):
        at += gap + (1 if nanoseconds else 0)
        lines.append(StampedLine(stamp(at, nanoseconds=nanoseconds), f"line {number}"))
    if nanoseconds:
        for index in draw(st.sets(st.integers(0, max(0, len(lines) - 2)), max_size=5)):
            if index + 1 < len(lines):
                lines[index], lines[index + 1] = lines[index + 1], lines[index]
    return lines


def pieces_of(lines: list[StampedLine], steps: Sequence[int]) -> list[list[StampedLine]]:
    pieces, at, turn = [], 0, 0
    while at < len(lines):
        step = steps[turn % len(steps)]
        pieces.append(lines[at : at + step])
        at += step
        turn += 1
    return pieces


@given(logs(), st.lists(st.integers(0, 40), max_size=5), cuts)
def test_reading_goes_on_at_any_line(
    log: list[StampedLine], stops: list[int], steps: list[int]
) -> None:
    got: list[StampedLine] = []
    position: Position | None = None
    for stop in [*stops, len(log)]:
        sent = log[:stop] if stop >= len(got) else log
        # The engine leaves out what is older than the second that it is asked for.
        if position is not None:
            sent = [line for line in sent if moment(line.stamp)[0] >= position.since]
        resumption = Resumption(position)
        for piece in pieces_of(sent, steps):
            new = resumption.new(piece)
            got += new
            position = advance(position, new)
    assert got == log


@given(logs(), st.integers(1, 40), st.integers(1, 40))
def test_where_the_engine_has_thrown_the_position_away_the_later_lines_are_new(
    log: list[StampedLine], read: int, kept: int
) -> None:
    position = advance(None, log[:read])
    left = log[-kept:]
    if position is None or any(line.stamp == position.stamp for line in left):
        return
    resumption = Resumption(position)
    got = resumption.new(left) + resumption.all_sent()
    assert got == [line for line in left if is_later(line.stamp, position.stamp)]
    after = [StampedLine(stamp(0), "the clock was put back")]
    assert resumption.new(after) == after


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=6), cuts)
def test_lines_that_the_engine_sends_twice_are_dropped(
    repeated: list[tuple[int, int]], steps: list[int]
) -> None:
    log = [StampedLine(stamp(number), f"line {number}") for number in range(80)]
    # Two outputs may be a little out of order.
    log[7], log[8] = log[8], log[7]
    sent = list(log)
    for at, count in sorted(repeated, reverse=True):
        sent[at + count : at + count] = log[at : at + count]
    repeats = Repeats()
    assert [line for piece in pieces_of(sent, steps) for line in repeats.dropped(piece)] == log
