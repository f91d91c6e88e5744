"""Who holds which block of a model in its swarm."""
