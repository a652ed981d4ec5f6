"""Where the figures of a training also go: TensorBoard always, others where the user has them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from trainers.run_files import RunFiles
from trainers.training_config import TrainingConfig

_log = logging.getLogger(__name__)


def make_trackers(config: TrainingConfig, run: RunFiles) -> list[Logger]:
    """TensorBoard, and those of `report.trackers` that can be made. One that cannot be is said, and left out."""
    trackers: list[Logger] = [TensorBoardLogger(run.folder, name="tensorboard", version="")]
    for name in config.report.trackers:
        try:
            trackers.append(_Unfailing(_MAKERS[name](run)))
        except Exception as error:  # noqa: BLE001 - an account, a server, a package: none may cost a training
            _log.warning("report.trackers: %s is left out: %s", name, error)
    return trackers


def _wandb(run: RunFiles) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(name=run.folder.name, save_dir=run.folder, project="annotator")


def _mlflow(run: RunFiles) -> Logger:
    from lightning.pytorch.loggers import MLFlowLogger

    return MLFlowLogger(experiment_name="annotator", run_name=str(run.folder))


_MAKERS: dict[str, Callable[[RunFiles], Logger]] = {"wandb": _wandb, "mlflow": _mlflow}


class _Unfailing(Logger):
    """Passes figures on; after the first failure it says so once and is silent."""

    def __init__(self, inner: Logger) -> None:
        super().__init__()
        self._inner: Logger | None = inner
        _ = getattr(inner, "experiment", None)  # begins the run on the server, which is what fails first

    @property
    def name(self) -> str | None:
        return type(self._inner).__name__

    @property
    def version(self) -> int | str | None:
        return None

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._try("log_metrics", metrics, step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self._try("log_hyperparams", params, *args, **kwargs)

    def finalize(self, status: str) -> None:
        self._try("finalize", status)

    def _try(self, method: str, *args: Any, **kwargs: Any) -> None:
        if self._inner is None:
            return
        try:
            getattr(self._inner, method)(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - see make_trackers
            _log.warning("%s: nothing more is sent to it: %s", self.name, error)
            self._inner = None
