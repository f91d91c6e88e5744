"""The Docker driver: Petals in a container, on the engine that this machine has."""
