"""Arithmetic of watching a live release: drift, sequential intervals. No clock, no network."""
