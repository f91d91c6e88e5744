"""How a download of a model's files goes, in words."""

from __future__ import annotations

from dataclasses import dataclass

_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


@dataclass(frozen=True)
class Download:
    """Bytes there and needed, bytes a second lately, and seconds left where they are known.

    `waiting` says what it waits for, such as a connection that was cut.
    """

    done: int
    total: int
    rate: int = 0
    remaining_s: int | None = None
    waiting: str = ""

    @property
    def text(self) -> str:
        """`1.2 of 3.4 GB, 45 MB/s, 50 s left`."""
        size, unit = _unit(self.total)
        digits = _digits(self.total, size)
        parts = [f"{self.done / size:.{digits}f} of {self.total / size:.{digits}f} {unit}"]
        if self.waiting:
            return ", ".join([*(parts if self.total else []), f"waiting: {self.waiting}"])
        if self.rate:
            size, unit = _unit(self.rate)
            parts.append(f"{self.rate / size:.{_digits(self.rate, size)}f} {unit}/s")
        if self.remaining_s is not None and self.done < self.total:
            parts.append(f"{rough_duration(self.remaining_s)} left")
        return ", ".join(parts)


def _digits(count: int, size: int) -> int:
    """Gigabytes are large steps; so are the first few of any unit."""
    return 1 if count < 10 * size or size == 10**9 else 0


def _unit(count: int) -> tuple[int, str]:
    return next((unit for unit in _UNITS if count >= unit[0]), _UNITS[-1])


def rough_duration(seconds: int) -> str:
    """`90 s`, `12 min`, `3 h 20 min`."""
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
