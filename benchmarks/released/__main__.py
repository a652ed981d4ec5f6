"""How good the released models are, beside those of others on the same images.

    python -m benchmarks.released poses DATA --pose MODEL --detection MODEL
    python -m benchmarks.released boxes DATA --detection MODEL
    python -m benchmarks.released robustness DATA --pose MODEL --detection MODEL --plot robustness.png
    python -m benchmarks.released speed DATA --pose MODEL --detection MODEL

DATA is the folder with coco_people, lspet, standing_people, scenes, videos and models. Tables go to stdout, every
figure with its 95 % interval of 1,000 bootstrap resamples of images; with -o all of it into a JSON file as well.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotator.cli import KNOWN_ERRORS
from annotator.evaluation_tables import without_nan
from benchmarks.released.models import (
    HOG,
    NamedDetector,
    NamedPoseModel,
    blazepose,
    blazepose_detector,
    fastestdet,
    movenet,
)
from cvat_export.atomic import write_text
from trainers.runtimes import Execution

OURS = "ours"


def main() -> None:
    """Run one verb."""
    arguments = _parser().parse_args()
    measure: Callable[[argparse.Namespace], Any] = arguments.measure
    try:
        content = {"verb": arguments.verb, "precision": arguments.precision, "found": measure(arguments)}
    except (*KNOWN_ERRORS, OSError) as error:
        raise SystemExit(f"error: {error}") from error
    if arguments.output is not None:
        write_text(arguments.output, json.dumps(without_nan(content), indent=1) + "\n")


def _poses(arguments: argparse.Namespace) -> Any:
    from benchmarks.released.poses import report_poses

    data, execution = arguments.data, _execution(arguments)
    ours = _our_pose(arguments)
    flipped = replace(ours, name=f"{ours.name}, flip test", flip_test=True)
    models = (ours, flipped, movenet(data), blazepose(data))
    return report_poses(data, models, _our_detector(arguments), execution, arguments.limit)


def _boxes(arguments: argparse.Namespace) -> Any:
    from benchmarks.released.boxes import report_boxes

    data, execution = arguments.data, _execution(arguments)
    ours = [_our_detector(arguments)] if arguments.detection else []
    return report_boxes(data, (*ours, fastestdet(data), blazepose_detector(data), HOG), execution, arguments.limit)


def _robustness(arguments: argparse.Namespace) -> Any:
    from benchmarks.released.robustness import Candidates, report_robustness

    data, execution = arguments.data, _execution(arguments)
    candidates = Candidates((_our_pose(arguments), movenet(data)), (_our_detector(arguments), fastestdet(data)))
    return report_robustness(data, candidates, execution, arguments.limit, arguments.plot)


def _speed(arguments: argparse.Namespace) -> Any:
    from benchmarks.released.speed import report_speed

    ours = (_our_pose(arguments), _our_detector(arguments))
    return report_speed(arguments.data, ours, _execution(arguments), arguments.limit, arguments.rounds)


def _our_pose(arguments: argparse.Namespace) -> NamedPoseModel:
    return NamedPoseModel(OURS, arguments.pose)


def _our_detector(arguments: argparse.Namespace) -> NamedDetector:
    return NamedDetector(OURS, arguments.detection)


def _execution(arguments: argparse.Namespace) -> Execution:
    return Execution(precision=arguments.precision)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.released", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    poses = _verb(verbs, "poses", _poses, "OKS AP and PCK, boxes given and with our detector")
    boxes = _verb(verbs, "boxes", _boxes, "box AP, recall, false boxes, empty images that stay empty")
    robustness = _verb(verbs, "robustness", _robustness, "the same on images that were spoilt")
    speed = _verb(verbs, "speed", _speed, "sizes, and speeds as ratios", precision="auto")
    for verb in (poses, robustness, speed):
        verb.add_argument("--pose", type=Path, required=True, help="our pose model")
    for verb in (poses, boxes, robustness, speed):
        verb.add_argument("--detection", required=verb is not boxes, help="our detector")
    robustness.add_argument("--plot", type=Path, help="PNG to draw the tables into")
    speed.add_argument("--rounds", type=int, default=9)
    return parser


def _verb(
    verbs: Any, name: str, measure: Callable[[argparse.Namespace], Any], help: str, precision: str = "f32"
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=help, description=help)
    verb.set_defaults(measure=measure)
    verb.add_argument("data", type=Path, metavar="DATA")
    verb.add_argument("--limit", type=int, help="so many images of each data set, the first")
    verb.add_argument("--precision", default=precision, help="of the models [default: %(default)s]")
    verb.add_argument("-o", "--output", type=Path, help="JSON file to write")
    return verb


if __name__ == "__main__":
    main()
