"""The root of the application's errors."""


class AnnotatorError(Exception):
    """The command cannot be carried out. The message says what, where, got, expected, fix."""
