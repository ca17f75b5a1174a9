"""What evaluate measures and draws, beside what all applications share."""
