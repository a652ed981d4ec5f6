"""Choosing frames by hand, in a page that the command serves."""
