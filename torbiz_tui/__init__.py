"""torbiz-tui: lend a machine to a Petals swarm and talk to the models it serves."""

__version__ = "0.1.0"
