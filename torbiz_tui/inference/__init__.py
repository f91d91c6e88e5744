"""The chat: a runner process and what it says."""
