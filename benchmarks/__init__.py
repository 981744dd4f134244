"""Measurements side by side, never run by `make test`."""
