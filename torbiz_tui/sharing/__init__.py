"""The hosted server: start, watch, re-attach, stop."""
