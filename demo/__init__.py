"""Footage that the project draws itself, and models that find what it drew: `python -m demo`."""
