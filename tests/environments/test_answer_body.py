"""The body of an answer that comes in chunks, cut anywhere on its way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import ProtocolError

from torbiz_tui.environments.docker.answer_body import Chunks


@given(
    st.lists(
        st.binary(min_size=1, max_size=40) | st.sampled_from([b"\r\n", b"0\r\n\r\n", b"a\r\n"])
    ),
    st.lists(st.integers(1, 9), min_size=1),
    st.sampled_from([b"", b"; name=value"]),
)
def test_the_body_is_the_same_however_it_is_cut(
    body: list[bytes], cuts: list[int], extension: bytes
) -> None:
    sent = b"".join(b"%x%s\r\n%s\r\n" % (len(one), extension, one) for one in body) + b"0\r\n\r\n"
    chunks, got, at, turn = Chunks(), b"", 0, 0
    while at < len(sent):
        # The end is known with the size of the last chunk; an empty line may come after it.
        assert not chunks.ended or at >= len(sent) - 2
        step = cuts[turn % len(cuts)]
        got += chunks.feed(sent[at : at + step])
        at, turn = at + step, turn + 1
    assert got == b"".join(body)
    assert chunks.ended


def test_what_is_not_chunked_is_told() -> None:
    with pytest.raises(ProtocolError):
        Chunks().feed(b"no size" * 1000)
