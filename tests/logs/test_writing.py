"""The log of this program, which several programs of one home write to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from torbiz_tui.logs.writing import logger, rotate, start_logging
from torbiz_tui.paths import Paths

_PROGRAM = """
import sys
from pathlib import Path
from torbiz_tui.logs import writing
from torbiz_tui.paths import Paths
writing.MAX_BYTES, writing.KEPT_FILES = 20_000, 200
writing.start_logging(Paths(Path(sys.argv[1])))
sys.stdin.readline()
for number in range(2000):
    writing.logger("app").info("%s-%d", sys.argv[2], number)
print(writing.write_failures)
"""


def test_programs_that_write_to_it_at_once_rotate_it_and_lose_nothing(tmp_path: Path) -> None:
    Paths(tmp_path).ensure()
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(tmp_path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "abc"
    ]
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()
    for program in programs:
        said, _ = program.communicate(timeout=60)
        assert (program.returncode, said) == (0, "[]\n")
    files = list((tmp_path / "logs").iterdir())
    assert len(files) > 10
    # A line of another program may have been on its way when the file was full.
    assert max(file.stat().st_size for file in files) < 25_000
    found = [re.findall(r"[abc]-\d+$", file.read_text("utf-8"), re.MULTILINE) for file in files]
    written = [f"{name}-{number}" for name in "abc" for number in range(2000)]
    assert sorted(word for words in found for word in words) == sorted(written)


def test_it_goes_on_in_a_new_file_when_somebody_has_moved_it(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.ensure()
    start_logging(paths)
    file = paths.logs / "app.log"
    logger("app").info("one")
    rotate(file, max_bytes=1)
    logger("app").info("two")
    file.unlink()
    logger("app").info("three")
    assert "one" in (paths.logs / "app.log.1").read_text("utf-8")
    assert re.findall("one|two|three", file.read_text("utf-8")) == ["three"]


def test_two_old_ones_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    for number in range(4):
        file.write_bytes(b"%d\n" % number)
        rotate(file, max_bytes=1)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {
        "a.log.1": b"3\n",
        "a.log.2": b"2\n",
    }
