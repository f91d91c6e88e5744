"""Log sources: writing, following, sanitizing."""
