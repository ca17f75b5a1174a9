"""What customers and staff did with what was answered: kept, never lost, and handed to the next collect."""
