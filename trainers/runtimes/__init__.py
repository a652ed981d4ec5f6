"""One protocol over every runtime that executes a model file: arrays in, arrays out."""

from trainers.runtimes.session import Execution, Session, TensorSpec, open_session

__all__ = ["Execution", "Session", "TensorSpec", "open_session"]
