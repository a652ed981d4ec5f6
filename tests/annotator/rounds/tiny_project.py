"""A project small enough for tests: mice of four dots on grey ground, a model that finds the dots, and the truth."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from click.testing import CliRunner

from annotator.cli import KNOWN_ERRORS, group
from annotator.credentials import find_login
from annotator.journal import FrameRow, Journal, StepRow
from annotator.project_files import PROJECT_FILE, STATE_FOLDER
from annotator.rounds import circle
from annotator.rounds.step import CurrentRound, Done, Step
from cvat_export.atomic import write_bytes, write_text
from cvat_export.coco import read_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.labels import Instance
from cvat_export.skeleton import read_skeleton
from demo.correction import Work
from demo.cvat_standin import StandInServer
from demo.simulated_annotator import AnnotatingServer, annotate
from demo.truth import Truth
from frame_tools.frame import Frame, FrameId, frame_file_name
from frame_tools.images import read_manifest
from frame_tools.video_writer import video_writer
from trainers.model_card import CropCard, HeatmapHead, InputCard, ModelCard, dump_card
from trainers.runtimes.metadata import CARD_KEY
from trainers.runtimes.openvino_session import import_openvino

MOUSE = read_skeleton("mouse4")
NAME, SERVER_PROJECT = "mice", "Mice"
SIZE = (96, 64)
COUNT = 26  # of pictures in a project of pictures
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))  # of the joints, RGB
GROUND = 100  # the brightest grey that no dot is taken for
SETTINGS: dict[str, Any] = {
    "frames": {"evaluation": 10, "a_round": 4},
    "train": {"epochs": 1, "batch_size": 4, "input": {"width": 64, "height": 64}},
}


@dataclass(frozen=True)
class Called:
    """What a command came to. words: all that it said, its error last."""

    code: int
    out: str
    words: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(*words: object) -> Called:
    """`annotator WORDS` as `annotator.cli.main` runs it."""
    result = CliRunner().invoke(group, [str(word) for word in words], standalone_mode=False)
    if isinstance(result.exception, KNOWN_ERRORS):
        return Called(1, result.stdout, f"{result.stderr}error: {result.exception}")
    if hasattr(result.exception, "format_message"):
        return Called(2, result.stdout, f"{result.stderr}{result.exception.format_message()}")
    if result.exception:
        raise result.exception
    return Called(result.return_value or 0, result.stdout, result.stderr)


def done(*words: object) -> Called:
    """Likewise, and it worked."""
    called = call(*words)
    assert called.code == 0, called.words
    return called


def draw_mouse(seed: int) -> tuple[np.ndarray, Instance]:
    """A picture that resembles no other, with the mouse in it."""
    random = np.random.default_rng(seed)
    ground = cv2.resize(random.integers(0, GROUND, (4, 6), np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)
    pixels = np.repeat(np.minimum(ground, GROUND)[..., None], 3, axis=2)
    centre = random.uniform((36, 26), (60, 38))
    xy = (centre + np.array([[0, -16], [-12, -8], [12, -8], [0, 16]])).astype(np.float32)
    for joint, colour in zip(xy, COLOURS, strict=True):
        at = [round(float(value - 0.5) * 16) for value in joint]
        cv2.circle(pixels, at, 5 * 16, colour, -1, cv2.LINE_AA, 4)
    box = np.concatenate([xy.min(axis=0) - 6, xy.max(axis=0) + 6])
    return pixels, Instance("mouse4", box, xy, np.full(4, 2, np.uint8))


def write_pictures(folder: Path, count: int) -> list[LabelledImage]:
    """Pictures, each a source of its own, and who is in them."""
    folder.mkdir(parents=True)
    images = []
    for number in range(count):
        pixels, mouse = draw_mouse(number)
        write_picture(folder / f"mouse_{number:03}.png", pixels)
        images.append(LabelledImage(f"mouse_{number:03}.png", *SIZE, (mouse,)))
    return images


def write_picture(path: Path, pixels: np.ndarray) -> None:
    write_bytes(path, cv2.imencode(path.suffix, pixels[..., ::-1])[1].tobytes())


def write_film(path: Path, count: int, seed: int) -> list[LabelledImage]:
    """A video of 10 frames a second, and who is in them, under the names that `choose-frames` gives."""
    from frame_tools.video import open_video

    mice = []
    with path.open("wb") as stream, video_writer(stream) as writer:
        for number in range(count):
            pixels, mouse = draw_mouse(1000 * seed + number)
            writer.write(Frame(pixels, FrameId("", number), Fraction(1, 10), number))
            mice.append(mouse)
    with open_video(path) as video:
        names = [frame_file_name(path.stem, frame.id, ".jpg") for frame in video.frames()]
    return [LabelledImage(name, *SIZE, (mouse,)) for name, mouse in zip(names, mice, strict=True)]


def write_dot_finder(path: Path) -> Path:
    """A pose model of mouse4 that finds the dots, as OpenVINO IR."""
    openvino = import_openvino()
    from openvino import opset13 as ops

    crop = ops.parameter([-1, 3, 64, 96], np.float32, name="crops")
    weights = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]], np.float32)
    bias = np.array([0, 0, 0, -2], np.float32)
    mixed = ops.convolution(crop, ops.constant(weights[..., None, None]), [1, 1], [0, 0], [0, 0], [1, 1])
    shown = ops.relu(ops.add(mixed, ops.constant(bias.reshape(1, 4, 1, 1))))
    maps = ops.avg_pool(shown, [4, 4], [0, 0], [0, 0], [4, 4], False)
    card = ModelCard(
        name="dots",
        skeleton=MOUSE,
        input=InputCard(width=96, height=64),
        crop=CropCard(padding=1.0),
        head=HeatmapHead(kind="heatmap", alignment="half-pixel", decoding="dark", sigma=1.0),
        flip_test=False,
    )
    model = openvino.Model([maps], [crop], "dots")
    model.set_rt_info(dump_card(card), [CARD_KEY])
    openvino.save_model(model, path, compress_to_fp16=False)
    write_text(path.with_name(f"{path.stem}.card.json"), dump_card(card))
    return path


def truth_of(images: Sequence[LabelledImage]) -> Truth:
    return Truth.of(Dataset((Category("mouse4", MOUSE),), tuple(images)))


def begin(*init: object, **settings: Any) -> Path:
    """A project in the working directory, with these parts of its file in place of `SETTINGS`."""
    done("init", NAME, "--skeleton", "mouse4", "--cvat-project", SERVER_PROJECT, *init)
    change(Path(NAME), **{**SETTINGS, **settings})
    return Path(NAME).absolute()


def change(project: Path, **settings: Any) -> None:
    """Write keys into the project file: of a part, or in its place where it has none."""
    path = project / PROJECT_FILE
    content = yaml.safe_load(path.read_text("utf-8"))
    for part, values in settings.items():
        content[part] = content[part] | values if isinstance(content.get(part), dict) else values
    path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")


def correct(truth: Truth) -> Work:
    """Let the simulated annotator finish everything."""
    return annotate(AnnotatingServer(find_login(None, None, None)), SERVER_PROJECT, truth)


def rows(project: Path, name: str | None = None) -> list[StepRow]:
    journal = Journal(project / STATE_FOLDER)
    found = [row for row in journal.steps() if name in (None, row.name)]
    journal.close()
    return found


def frames(project: Path, role: Any = None) -> list[FrameRow]:
    journal = Journal(project / STATE_FOLDER)
    found = journal.frames(role)
    journal.close()
    return found


def quick_steps() -> tuple[Step, ...]:
    """The steps without a training: what would be learnt from stands for the model, which is refused."""
    quick = (
        Step("train", lambda here: {"labels": here.done("sort").outputs}, _train),
        Step("export", lambda here: {"checkpoint": here.done("train").outputs}, _export),
        Step("gate", lambda here: {"model": here.done("export").figures}, _gate),
        Step("curve", lambda here: {"gate": here.done("gate").figures}, _curve),
    )
    return (*(step for step in circle.STEPS if step.name not in {one.name for one in quick}), *quick)


def _train(here: CurrentRound, folder: Path) -> Done:
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "learnt.json", json.dumps(here.done("sort").outputs))
    return Done({"epoch": 1, "pck": 0.5}, [folder / "learnt.json"])


def _export(here: CurrentRound, folder: Path) -> Done:
    return Done({"model": here.relative(folder / "model.xml")})


def _gate(here: CurrentRound, folder: Path) -> Done:
    return Done({"accepted": False, "reason": "nobody measured", **here.done("export").figures})


def _curve(here: CurrentRound, folder: Path) -> Done:
    return Done({"advice": "nobody measured"})


def evaluation_files(project: Path) -> set[str]:
    return {row.file for row in frames(project, "evaluation")}


def chosen_files(project: Path) -> set[str]:
    """Of all rounds so far, undone ones too: what was ever shown to people as theirs to correct."""
    folders = project.glob("rounds/*/choose*/frames")
    return {entry.file for folder in folders for entry in read_manifest(folder)}


def sorted_files(project: Path) -> tuple[set[str], set[str], list[Any]]:
    """What the last sorting divided: training, evaluation, left out with the reasons."""
    folder = project / rows(project, "sort")[-1].folder
    parts = {path.stem: {image.file_name for image in read_coco(path).images} for path in folder.glob("*.json")}
    evaluation = parts.pop("evaluation")
    left_out = [json.loads(line) for line in (folder / "left_out.jsonl").read_text().splitlines()]
    return set().union(*parts.values()), evaluation, left_out


def go(truth: Truth, times: int = 1) -> None:
    """People finish everything, and the next steps run."""
    for _ in range(times):
        correct(truth)
        done("round", "next")


def jobs_with(server: StandInServer, names: Collection[str]) -> list[Any]:
    state = server.state
    return [
        job
        for job in state.jobs.values()
        if {state.tasks[job.task_id].frames[n].name for n in range(job.start_frame, job.stop_frame + 1)} & set(names)
    ]
