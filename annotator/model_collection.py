"""The models that can be called by a name: listing them, adding to them, removing from them."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from annotator.detector import BUILT_IN_DETECTORS, DetectionOptions
from annotator.detectors.model_file import open_model_file, recognise
from annotator.detectors.network import NetworkDetector
from annotator.errors import AnnotatorError
from annotator.model_inspection import Run, inspect_model
from annotator.named_models import (
    FACTS_FILE,
    SHIPPED,
    ModelFacts,
    added_folder,
    added_models,
    dump_added,
    every_name,
    find_model,
    read_added,
)
from annotator.pose_model import carries_pose_card, find_card
from cvat_export.atomic import write_text
from trainers.model_card import DetectorCard, ModelCard, card_from_metadata, dump_card
from trainers.pose_decoding import check_card
from trainers.runtimes import Execution
from trainers.runtimes.formats import ModelFile, ModelFormat, hash_model, identify, model_parts
from trainers.runtimes.metadata import CARD_KEY, read_metadata

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class ListedModel:
    """A model as `annotator models` shows it. runs: how fast it is here, where that was measured."""

    name: str
    shipped: bool
    path: str
    size_bytes: int
    sha256: str
    facts: ModelFacts
    runs: tuple[Run, ...] = ()


def list_models(speed_with: Execution | None = None) -> list[ListedModel]:
    """All models, those that come with the install first. speed_with: how to run them for their speed, if at all."""
    return [_listed(name, speed_with) for name in every_name()]


def add_model(path: Path, name: str | None, card_path: Path | None, execution: Execution) -> ListedModel:
    """Copy a model, and its card, to where it can be called by `name`: that of the file unless one is given.

    It is run once before. Raises AnnotatorError or TrainersError where it is no detector or pose model that could be
    used, or where the name is taken.
    """
    name = _free_name(path, name)
    if path.suffix.lower() == ".json":
        raise AnnotatorError(f"{path}: holds labels, and no model; its boxes are used by --detection {path}")
    model = identify(path)
    facts, card = _examine(model, card_path, execution)
    added_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=added_folder()) as temporary:
        folder = Path(temporary) / name
        folder.mkdir()
        for part in (*model_parts(model), *_metadata_beside(model)):
            shutil.copyfile(part, folder / part.name)
        if card is not None:
            write_text(folder / f"{model.path.stem}.card.json", dump_card(card))
        write_text(folder / FACTS_FILE, dump_added(model.path.name, facts))
        folder.replace(added_folder() / name)
    return _listed(name, None)


def remove_model(name: str) -> None:
    """Delete a model that a user has added. Raises AnnotatorError for any other."""
    if name in SHIPPED:
        raise AnnotatorError(f"{name}: comes with the install and cannot be removed")
    if name not in added_models():
        there = ", ".join(added_models()) or "none"
        raise AnnotatorError(f"{name}: no model of that name was added; those that were: {there}")
    shutil.rmtree(added_folder() / name)


def _free_name(path: Path, wanted: str | None) -> str:
    name = path.name.partition(".")[0] if wanted is None else wanted
    if not _NAME.fullmatch(name):
        raise AnnotatorError(
            f"name {name!r}: expected letters, digits, - and _, beginning with a letter or digit; say --name NAME"
        )
    if name in (*SHIPPED, *BUILT_IN_DETECTORS):
        raise AnnotatorError(f"name {name!r}: comes with the install, and means the same everywhere; say --name NAME")
    if name in added_models():
        raise AnnotatorError(f"name {name!r}: is taken; say --name NAME, or first: annotator models remove {name}")
    return name


def _examine(
    model: ModelFile, card_path: Path | None, execution: Execution
) -> tuple[ModelFacts, ModelCard | DetectorCard | None]:
    """What a model is, and the card that has to lie beside its copy. It is run once."""
    session = open_model_file(model, execution)
    family = recognise(session, model.format)
    embedded = card_from_metadata(session.metadata, str(model.path))
    if card_path is None and family is not None and not carries_pose_card(model.path):
        network = NetworkDetector(family, session, model.path.name, None, DetectionOptions())
        if network.joint_count:
            finds = tuple(f"joint {number}" for number in range(1, network.joint_count + 1))
            return ModelFacts("one-stage", network.input_size, finds, _licence(session.metadata)), None
        licence = embedded.licence if embedded else _licence(session.metadata)
        return ModelFacts("detector", network.input_size, network.class_names, licence), embedded
    if card_path is not None and embedded is not None:
        raise AnnotatorError(f"{model.path}: carries a card already, so leave --card out")
    card = find_card(model.path, card_path, session)
    check_card(card, session)
    return _pose_facts(card), card


def _pose_facts(card: ModelCard) -> ModelFacts:
    return ModelFacts("pose", card.input.size, card.skeleton.joints, card.licence)


def _licence(metadata: Mapping[str, str]) -> str:
    return metadata.get("license", "")  # as Ultralytics' exports spell it


def _metadata_beside(model: ModelFile) -> list[Path]:
    """What Ultralytics says of an IR."""
    beside = model.path.with_name("metadata.yaml")
    return [beside] if model.format is ModelFormat.OPENVINO_IR and beside.is_file() else []


def _listed(name: str, speed_with: Execution | None) -> ListedModel:
    path = find_model(name).path
    facts = _shipped_facts(name) if name in SHIPPED else read_added(name)[1]
    model = identify(path)
    return ListedModel(
        name=name,
        shipped=name in SHIPPED,
        path=str(path),
        size_bytes=sum(part.stat().st_size for part in model_parts(model)),
        sha256=hash_model(model),
        facts=facts,
        runs=() if speed_with is None else inspect_model(path, speed_with).runs,
    )


def _shipped_facts(name: str) -> ModelFacts:
    """Read from its card alone, without opening it."""
    model = identify(SHIPPED[name])
    card = card_from_metadata(read_metadata(model), name)
    if card is None:
        raise AnnotatorError(f"{model.path}: comes without its {CARD_KEY}; install again")
    if isinstance(card, DetectorCard):
        return ModelFacts("detector", card.input.size, (card.category,), card.licence)
    return _pose_facts(card)
