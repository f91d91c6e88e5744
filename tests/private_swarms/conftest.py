"""A home of its own and scripted services, as the tests of the command line have them."""

from __future__ import annotations

from tests.cli.conftest import home, scene

__all__ = ["home", "scene"]
