"""A shop's recorded weeks become live again: `python -m benchmarks.replay` (docs/replay.md says what it proves)."""
