"""Log files for the Logs screen, and where it stands."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.app.fakes import FakeServices

SEEDER = "petals_seeder.log"
CHAT = "petals_inference.log"
START = datetime(2026, 3, 5, 12, 0).astimezone()
MEMORY = "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"


def write(services: FakeServices, text: str, name: str = SEEDER) -> None:
    """Add to a log."""
    with (services.paths.logs / name).open("a", encoding="utf-8") as file:
        file.write(text)


def numbered(first: int, last: int) -> str:
    """Lines that tell no time."""
    return "".join(f"[INFO] entry {number}.\n" for number in range(first, last))


def timed(number: int, text: str = "", level: str = "INFO", source: str = "petals.server") -> str:
    """A line of the minute with that number."""
    stamp = (START + timedelta(minutes=number)).strftime("%Y-%m-%d %H:%M:%S,000")
    return f"{stamp} [{level}] [{source}] {text or f'entry {number}.'}\n"
