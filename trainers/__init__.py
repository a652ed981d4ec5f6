"""Everything about a model file: its card, its codecs, the runtimes that execute it."""

from trainers.errors import TrainersError

__all__ = ["TrainersError"]
