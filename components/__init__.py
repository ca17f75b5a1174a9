"""The loop, written once, and the applications that ride on it."""
