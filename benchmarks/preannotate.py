"""How much of the models' own speed does `preannotate` keep, and how much faster is it than the loop people write?

    python -m benchmarks.preannotate [--files onnx|torch] [--images FOLDER] [--rounds 5]

Three ways to do the same job on the same files with the same model files, interleaved round by round:

bare      the detector and the pose network alone, on batches made beforehand, back to back: no file is read, nothing
          is decoded, cropped or written
pipeline  what `annotator preannotate` does after its models are loaded: read, decode, letterbox, detect, suppress,
          crop, estimate, decode joints, write images, shards, COCO and zip
naive     one image and one crop at a time, each step after the other, as scripts do; in the runtime that `preannotate`
          uses, or with --files torch in torch, as whoever has a .pt and a TorchScript does

The networks have the architectures of YOLO11n (640 px) and of SimpleBaseline with ResNet-50 (256x192, 34 M parameters)
and random weights: their speed is that of trained ones. Whatever the detector finds, the best
--people boxes of each image become crops. Needs the extra [train].
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from itertools import groupby, islice
from pathlib import Path

import cv2
import numpy as np

from annotator.detector import DetectionOptions
from annotator.doctor import processor_name
from annotator.estimators import EstimatorOptions, TwoStage, load_estimator
from annotator.inputs import InputImage, find_inputs
from annotator.pose_model import Crops
from annotator.preannotation import LabelOptions, output_paths, preannotate
from annotator.run_folder import RunFolder
from benchmarks.networks import write_networks
from benchmarks.timing import measure_ways
from demo.film import film
from frame_tools.images import encode_image
from trainers.network_input import encode_input
from trainers.runtimes import Execution, Session

BATCH = 8
_WITHOUT_PICTURES = LabelOptions(report_pictures=0)


def main() -> None:
    """Print a table."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        images = arguments.images or _demo_images(work / "demo")
        paths = sorted(images.glob("*.jpg"))[: arguments.count]
        models = write_networks(work, arguments.files)
        boxes = DetectionOptions(min_score=0.5, max_subjects=arguments.people)
        execution = Execution(runtime=arguments.runtime, precision=arguments.precision)
        estimator = load_two_stage(*map(str, models), boxes, execution)
        naive = estimator
        if arguments.files == "torch":
            naive = load_two_stage(*map(str, models), boxes, Execution(runtime="torch"))
        job = _JobAndLoop(paths, estimator, work, naive, boxes)
        print(f"{processor_name()}, {os.cpu_count()} cores; {len(paths)} images, {job.crops} crops")
        print(f"pipeline: {_executed(job.detector)}, {_executed(job.pose)}")
        print(f"naive:    {_executed(job.naive_detector)}, {_executed(job.naive_pose)}")
        ways = {"bare": job.bare, "pipeline": job.pipeline, "naive": job.naive}
        _report(measure_ways(ways, arguments.rounds), len(paths))


def load_two_stage(detection: str, pose: str, boxes: DetectionOptions, execution: Execution) -> TwoStage:
    """As `annotator preannotate` loads them."""
    estimator = load_estimator(EstimatorOptions(detection, pose, batch_size=BATCH, boxes=boxes, execution=execution))
    assert isinstance(estimator, TwoStage)
    return estimator


def sessions_of(estimator: TwoStage) -> tuple[Session, Session]:
    """The detector's, which must be a network, and the pose model's."""
    assert estimator.detector.session is not None
    return estimator.detector.session, estimator.model.session


class Job:
    """The pipeline's work and the bare models' on the same images; building it makes the bare way's batches."""

    def __init__(
        self, paths: list[Path], estimator: TwoStage, work: Path, options: LabelOptions = _WITHOUT_PICTURES
    ) -> None:
        self.paths, self.estimator, self.work, self.options = paths, estimator, work, options
        self.inputs = find_inputs([str(path) for path in paths])
        self.detector, self.pose = sessions_of(estimator)
        loaded = [image for item in self.inputs for load in item.loaders() if isinstance(image := load(), InputImage)]
        prepared = [estimator.prepare(image.file_name, image.pixels) for image in loaded]
        self.found = estimator.detect(prepared)
        self.crops = sum(len(boxes) for boxes in self.found)
        self.sizes = [one.pixels.shape[:0:-1] for one in prepared]  # width, height
        self.detector_batches = _batches([one.pixels for one in prepared])
        cut = [estimator.model.prepare(one.pixels, boxes) for one, boxes in zip(loaded, self.found, strict=True)]
        rows = encode_input(estimator.model.card.input, Crops.concatenate(cut).pixels)
        self.pose_batches = [rows[i : i + BATCH] for i in range(0, self.crops, BATCH)]

    def bare(self) -> None:
        """The models alone."""
        for batch in self.detector_batches:
            self.detector.run(batch)
        for batch in self.pose_batches:
            self.pose.run(batch)

    def pipeline(self) -> None:
        """The main job."""
        out = Path(tempfile.mkdtemp(dir=self.work)) / "out"
        folder = RunFolder(out, {}, output_paths(out))
        with folder.locked(overwrite=True):
            preannotate(self.inputs, self.estimator, self.options, folder, workers=os.cpu_count() or 1)


class _JobAndLoop(Job):
    """A third way beside."""

    def __init__(
        self, paths: list[Path], estimator: TwoStage, work: Path, naive: TwoStage, options: DetectionOptions
    ) -> None:
        super().__init__(paths, estimator, work)
        self.naive_options = options
        self.naive_detector, self.naive_pose = sessions_of(naive)
        self.boxes = [boxes.bbox_xyxy for boxes in self.found]

    def naive(self) -> None:
        """The loop that scripts have."""
        out = self.work / "naive"
        out.mkdir(exist_ok=True)
        rows = []
        for path, size, boxes in zip(self.paths, self.sizes, self.boxes, strict=True):
            image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            chw, scale, offset = letterbox(image, size)
            output = self.naive_detector.run(chw[None])[0]
            best_boxes(output[0], self.naive_options, scale, offset)
            for x1, y1, x2, y2 in boxes:  # the pipeline's, so that both cut the same number of crops
                crop, matrix = cut(image, (x1, y1, x2, y2))
                heatmaps = self.naive_pose.run(crop[None])[0][0]
                peaks = [np.unravel_index(int(heatmap.argmax()), heatmap.shape) for heatmap in heatmaps]
                joints = [[4 * float(x) + 2, 4 * float(y) + 2] for y, x in peaks]
                rows.append({"image": path.name, "joints": cv2.transform(np.array([joints]), matrix)[0].tolist()})
            shutil.copy(path, out / path.name)
        (out / "labels.json").write_text(json.dumps(rows))


def letterbox(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float, tuple[int, int]]:
    """(3, height, width) float32 in 0..1, the scale, and the offset of the image in it."""
    width, height = size
    scale = min(width / image.shape[1], height / image.shape[0])
    resized = cv2.resize(image, None, fx=scale, fy=scale)
    canvas = np.full((height, width, 3), 114, np.uint8)
    top, left = (height - resized.shape[0]) // 2, (width - resized.shape[1]) // 2
    canvas[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return np.ascontiguousarray(canvas.transpose(2, 0, 1), np.float32) / 255, scale, (left, top)


def best_boxes(head: np.ndarray, options: DetectionOptions, scale: float, offset: tuple[int, int]) -> np.ndarray:
    """Boxes of a YOLO head (4 + classes, n), suppressed by OpenCV, at most as many as the pipeline takes."""
    scores = head[4]
    kept = scores >= options.min_score
    cx, cy, w, h = head[:4, kept]
    xywh = np.stack([cx - w / 2, cy - h / 2, w, h], axis=1)
    order = cv2.dnn.NMSBoxes(xywh.tolist(), scores[kept].tolist(), options.min_score, options.iou)
    best = xywh[np.asarray(order, int).ravel()[: options.max_subjects]]
    corners = np.concatenate([best[:, :2], best[:, :2] + best[:, 2:]], axis=1)
    return (corners - np.tile(offset, 2)) / scale


def cut(image: np.ndarray, box: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The crop (3, 256, 192) and the matrix back."""
    x1, y1, x2, y2 = box
    height = max((y2 - y1), (x2 - x1) * 256 / 192, 1.0) * 1.25
    scale = 256 / height
    matrix = np.array([[scale, 0, 96 - scale * (x1 + x2) / 2], [0, scale, 128 - scale * (y1 + y2) / 2]])
    crop = cv2.warpAffine(image, matrix, (192, 256))
    return np.ascontiguousarray(crop.transpose(2, 0, 1), np.float32) / 255, cv2.invertAffineTransform(matrix)


def _batches(pixels: list[np.ndarray]) -> list[np.ndarray]:
    """Letterboxed images in batches of one size, in order."""
    batches = []
    for _, alike in groupby(pixels, key=np.shape):
        rows = list(alike)
        batches += [np.stack(rows[i : i + BATCH]) for i in range(0, len(rows), BATCH)]
    return batches


def _executed(session: Session) -> str:
    return f"{session.runtime} {session.precision}"


def _report(seconds: dict[str, list[float]], images: int) -> None:
    for name, values in seconds.items():
        per_image = [1000 * value / images for value in values]
        print(f"{name:10} {statistics.median(per_image):8.1f} ms an image   {_spread(per_image)}")
    for name, above, below, goal in (
        ("pipeline speed / bare speed", "bare", "pipeline", 0.85),
        ("pipeline speed / naive speed", "naive", "pipeline", 3.0),
    ):
        ratios = [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]
        print(f"{name:30} {statistics.median(ratios):5.2f}   {_spread(ratios, 2)}   goal {goal}")


def _spread(values: list[float], decimals: int = 1) -> str:
    return f"{min(values):.{decimals}f} to {max(values):.{decimals}f}"


def _demo_images(folder: Path) -> Path:
    """Every eighth of the demo's drawn frames as JPEG."""
    folder.mkdir()
    for number, frame in enumerate(islice(film(), 0, None, 8)):
        (folder / f"{number:04}.jpg").write_bytes(encode_image(frame.image, ".jpg"))
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of .jpg files [default: frames of the demo's footage]")
    parser.add_argument("--count", type=int, default=48, help="at most so many images")
    parser.add_argument("--people", type=int, default=3, help="at most so many boxes an image")
    parser.add_argument("--files", default="onnx", choices=("onnx", "torch"), help="what the networks are saved as")
    parser.add_argument("--runtime", default="auto", choices=("auto", "openvino", "onnxruntime", "torch"))
    parser.add_argument("--precision", default="auto", choices=("auto", "f32", "bf16"))
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
