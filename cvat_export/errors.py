"""The root of this package's errors."""


class CvatExportError(Exception):
    """Labels, a skeleton or an archive is not what it should be. The message says where, got, expected, fix."""
