"""Train the models that come with the install: python -m recipes.make DATA WORK.

Hours on two cores. Each step goes on where it was stopped, and is not done again once it has ended. WORK gets the
derived labels, a run a recipe, and `released/` with what annotator/models holds. See docs/models.md.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from cvat_export.atomic import write_text
from demo.program import run_annotator
from recipes.derive import derive
from trainers.checkpoint import read_checkpoint, write_checkpoint
from trainers.model_card import Card, HeatmapHead, ModelCard

COCO = "data/coco_people/annotations/person_keypoints"
# Each begins where one before it ended.
RECIPES = (
    "pose-coarse",
    "pose-finer",
    "pose-gentle",
    "annotator-pose",
    "person-first",
    "person-second",
    "annotator-person",
)
RELEASED = {  # and the recipes before it that it goes on from
    "annotator-pose": ("pose-coarse", "pose-finer", "pose-gentle"),
    "annotator-person": ("pose-coarse", "person-first", "person-second"),
}
FURTHER = {  # files of the same weights: recipe -> name, and how it is exported
    "annotator-person": ("annotator-person-large.xml", ("--precision", "f16", "--input-size", "608x608")),
    "annotator-pose": ("annotator-pose-int8.onnx", ("--precision", "int8")),
}
LICENCE = "Apache-2.0"
# Scores from which is proposed, by what was seen on COCO's validation people; poses' are calibrated there first.
PROPOSED = {"annotator-pose": ("--min-joint-score", "0.3"), "annotator-person": ("--propose-from", "0.41")}
CALIBRATED_ON = f"{COCO}_val.json"  # of the pose model, as was its padding chosen
PADDING = (
    1.1  # of the crops when used: tighter than in training, whose changes of scale cover it; joints lie more exactly
)
_FORMATS = {".xml": "openvino", ".onnx": "onnx"}


def recipe_path(recipe: str) -> Path:
    """Its training config."""
    return Path(__file__).with_name(f"{recipe}.yaml")


def train(recipe: str, work: Path) -> None:
    """Train a recipe in WORK/runs, or go on with it; one that has ended stays as it is."""
    run = work / "runs" / recipe
    if (run / "config.yaml").exists():
        run_annotator("train", "--resume", str(run), folder=work)
    else:
        run_annotator("train", str(recipe_path(recipe)), "-o", str(run), folder=work)


def write_shipped(trained: Path, shipped: Path) -> None:
    """The checkpoint to train on from, in 16 bits, with the card that its exports get."""
    checkpoint = read_checkpoint(trained)
    weights = {name: one.half() if one.is_floating_point() else one for name, one in checkpoint.weights.items()}
    write_checkpoint(shipped, replace(checkpoint, card=_shipped_card(checkpoint.card), weights=weights))


def _shipped_card(card: Card) -> Card:
    """Of a pose model with tighter crops than it was trained on, and another decoding."""
    if not isinstance(card, ModelCard):
        return card
    assert isinstance(card.head, HeatmapHead)
    head = card.head.model_copy(update={"decoding": "expected-oks"})
    crop = card.crop.model_copy(update={"padding": PADDING})
    return card.model_copy(update={"head": head, "crop": crop, "calibration": None})


def export(recipe: str, work: Path) -> None:
    """Write the model and its log as annotator/models holds them."""
    run, released = work / "runs" / recipe, work / "released" / recipe
    released.mkdir(parents=True, exist_ok=True)
    model, shipped = str(run / "best.ckpt"), released / f"{recipe}.ckpt"
    write_shipped(run / "best.ckpt", shipped)
    inputs: tuple[str, ...] = ()
    if recipe == "annotator-pose":
        model, inputs = str(shipped), ("--data", f"{COCO}_train.json")
        run_annotator("evaluate", model, "--data", CALIBRATED_ON, "--calibrate", folder=work)
    for name, options in ((f"{recipe}.xml", ("--precision", "f16")), FURTHER[recipe]):
        target = released / name
        wanted = ("--format", _FORMATS[target.suffix], *options, *inputs, "--licence", LICENCE, *PROPOSED[recipe])
        run_annotator("export", model, *wanted, "-o", str(target), "--overwrite", folder=work)
    config = (run / "config.yaml").read_text("utf-8")
    write_text(released / "config.yaml", config.replace(f"{work}/", ""))  # paths below WORK, as in the recipe
    for stage in (*RELEASED[recipe], recipe):
        write_text(released / f"{stage}.csv", (work / "runs" / stage / "metrics.csv").read_text("utf-8"))


def main() -> None:
    """Run the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    options = parser.parse_args()
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    _link(work / "data", options.data.absolute())
    derive(work / "data", work / "derived")
    for recipe in RECIPES:
        train(recipe, work)
    for recipe in RELEASED:
        export(recipe, work)


def _link(link: Path, target: Path) -> None:
    """Recipes name their data below the folder that they are made in."""
    if not target.is_dir():
        sys.exit(f"{target}: no such folder, expected the one that holds coco_people, lspet and scenes")
    if link.is_symlink():
        link.unlink()
    link.symlink_to(target, target_is_directory=True)


if __name__ == "__main__":
    main()
