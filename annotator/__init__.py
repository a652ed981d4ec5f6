"""The application: from video to labels to a better model, and round again."""

from annotator.errors import AnnotatorError

__all__ = ["AnnotatorError"]
