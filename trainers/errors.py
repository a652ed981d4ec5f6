"""The root of this package's errors."""


class TrainersError(Exception):
    """A model file, its card or its runtime is not what it should be. The message says where, got, expected, fix."""
