"""Published tables and peers, side by side; never part of the test run."""
