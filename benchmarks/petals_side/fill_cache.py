"""Fills a server's attention cache for `benchmarks/share.py`; run with Petals' Python.

    fill_cache.py MODEL PREFIX PEER FIRST:END SESSIONS TOKENS

Opens so many inference sessions over these blocks and sends random hidden states through each: a
prompt that leaves a few of the tokens, then the rest one a step, as an answer does. Writes a line when
the cache is full, and holds the sessions until it is ended.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "runner_scripts"
sys.path.insert(0, str(SCRIPTS))

ANSWER_TOKENS = 16


def main(folder: str, prefix: str, peer: str, blocks: str, sessions: int, tokens: int) -> None:
    """Fill, and hold."""
    import petals_compat  # type: ignore[import-not-found]

    petals_compat.apply("client")
    import petals  # type: ignore[import-not-found]
    import torch  # type: ignore[import-not-found]
    from petals.client.inference_session import (  # type: ignore[import-not-found]
        InferenceSession,
    )
    from petals.client.remote_sequential import (  # type: ignore[import-not-found]
        RemoteSequential,
    )

    config = petals.AutoDistributedConfig.from_pretrained(
        folder, initial_peers=[peer], dht_prefix=prefix
    )
    first, end = (int(part) for part in blocks.split(":"))
    served = RemoteSequential(config, start_block=first, end_block=end)
    opened = [InferenceSession(served.sequence_manager, max_length=tokens) for _ in range(sessions)]
    with torch.inference_mode():
        for session in opened:
            for count in (tokens - ANSWER_TOKENS, *[1] * ANSWER_TOKENS):
                session.step(torch.randn(1, count, config.hidden_size))
    os.write(OUT, b"full\n")
    sys.stdin.readline()


if __name__ == "__main__":
    OUT = os.dup(1)
    os.dup2(2, 1)
    folder, prefix, peer, blocks = sys.argv[1:5]
    main(folder, prefix, peer, blocks, int(sys.argv[5]), int(sys.argv[6]))
    os._exit(0)
