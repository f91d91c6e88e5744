"""Appends lines to a log at a steady rate: `flood.py FILE LINES_PER_SECOND SECONDS`.

Prints the moment of its beginning on the system's monotonic clock. The last line is `END_SEEN`.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime

END_SEEN = b"QXENDQX"
_STEP_S = 0.01


def main() -> None:
    """Write until all lines are written, however long that takes."""
    file, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    total = int(rate * seconds)
    with open(file, "ab", buffering=0) as stream:  # noqa: PTH123 (nothing else is imported)
        begun = time.monotonic()
        print(begun, flush=True)
        done = 0
        while done < total:
            due = min(total, int((time.monotonic() - begun) * rate))
            if due > done:
                stamp = f"{datetime.now():%Y-%m-%d %H:%M:%S,%f}"[:-3]  # noqa: DTZ005
                head = f"{stamp} [INFO] [petals.flood] flooded line "
                text = "".join(
                    f"{head}{n:09} with some more words behind it\n" for n in range(done, due)
                )
                stream.write(text.encode())
                done = due
            time.sleep(_STEP_S)
        stream.write(f"{stamp} [INFO] [petals.flood] {END_SEEN.decode()}\n".encode())
    print(time.monotonic(), flush=True)


if __name__ == "__main__":
    main()
