"""Where Petals runs, and how a process gets there."""
