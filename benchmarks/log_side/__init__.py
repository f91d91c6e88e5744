"""What `benchmarks/logs.py` measures with: logs, viewers, a flood."""
