"""Bringing the machine to readiness, step by step."""
