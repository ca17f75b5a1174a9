"""What evaluate measures, beside what all applications share."""
