"""Video in, frames out: exact decoding, quality, scenes, selection."""

from frame_tools.errors import FrameToolsError

__all__ = ["FrameToolsError"]
