"""Contracts and arithmetic that every application shares; no clock, no network."""
