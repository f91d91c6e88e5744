"""Tests of the scripts that run where Petals is installed."""
