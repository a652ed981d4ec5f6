"""The root of this package's errors."""


class FrameToolsError(Exception):
    """A video, an image or a plan is not what it should be. The message says where, got, expected, fix."""
