"""Steps that learn: a model is trained on what people made, and exported as it will run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from annotator.errors import AnnotatorError
from annotator.project import Project, TrainingPart
from annotator.project_files import PROJECT_FILE
from annotator.rounds.calling import call
from annotator.rounds.sorting import label_sources
from annotator.rounds.step import CurrentRound, Done, Step
from cvat_export.atomic import write_text
from trainers.errors import TrainersError
from trainers.training_config import DetectionConfig, PoseConfig, RunConfig, parse_config

MODEL_FILE = "model.xml"


def _train_inputs(here: CurrentRound) -> dict[str, Any]:
    config = here.project.config
    return {"labels": here.done("sort").outputs, "settings": config.train, "seed": config.seed}


def _train(here: CurrentRound, folder: Path) -> Done:
    """Train on all labels so far, from the same start each round; a training that was stopped goes on."""
    best, figures = run_training(here, folder, "train", {"skeleton": here.project.skeleton_spec})
    return Done(figures, [best])


def check_trainings(project: Project) -> None:
    """Whether trainings can begin: their weights are there, their networks can be built, which takes seconds.

    Raises AnnotatorError, TrainersError, and ModuleNotFoundError without torch.
    """
    for part in project.training_parts:
        where = f"{project.root / PROJECT_FILE}: {part}"
        config = parse_config({**project.training(part), "data": {"train": "labels.json"}}, where)
        try:
            _build(config, len(project.skeleton.joints))
        except TrainersError as error:
            raise AnnotatorError(f"{where}.{error}") from error


def _build(config: RunConfig, joints: int) -> None:
    from trainers.networks import build_detector, build_network

    if isinstance(config, PoseConfig):
        build_network(config.network, joints, config.input.size, config.backbone, config.network_options)
    elif isinstance(config, DetectionConfig):
        build_detector(config.network, config.input.size, config.backbone, config.network_options)


def run_training(
    here: CurrentRound, folder: Path, part: TrainingPart, data: Mapping[str, Any] = {}
) -> tuple[Path, dict[str, Any]]:
    """Train on the round's labels with the settings of a part of the project file, or go on; the best model, figures.

    data: what the training's `data` needs beside the labels.
    """
    run, config = folder / "run", folder / "train.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    if (run / "config.yaml").is_file():
        found = call("train", "--resume", run)
    else:
        content = _training_config(here, part, data)
        write_text(config, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
        found = call("train", config, "-o", run)
    return Path(found.pop("best")), found


def _training_config(here: CurrentRound, part: TrainingPart, data: Mapping[str, Any]) -> dict[str, Any]:
    """The project's settings with the labels; validation only shows how the training goes, nothing is chosen by it."""
    config = here.project.config
    labels = {"train": label_sources(here), "category": config.category, "leave_out_faulty": True, **data}
    return {"seed": config.seed, **here.project.training(part), "data": labels}


def _export(here: CurrentRound, folder: Path) -> Done:
    """The file that will run: it, and not the checkpoint, is what the gate looks at."""
    model = export_model(here.folder("train") / "run" / "best.ckpt", folder)
    return Done({"model": here.relative(model)}, [model, model.with_suffix(".bin")])


def export_model(checkpoint: Path, folder: Path) -> Path:
    """An OpenVINO file of it in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / MODEL_FILE
    call("export", checkpoint, "--format", "openvino", "-o", model, "--overwrite")
    return model


TRAIN = Step("train", _train_inputs, _train)
EXPORT = Step("export", lambda here: {"checkpoint": here.done("train").outputs}, _export)
