"""Packages whose names are loaded when they are asked for, so that the full-screen app opens fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def lazily(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package that has these names, each in the module of it named there."""

    def load(name: str) -> object:
        """Load what is asked for. Raises AttributeError for a name that is not here."""
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return load
