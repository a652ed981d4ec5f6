"""The main job: images in, a dataset of proposals out, ready for CVAT."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from annotator.crop_dataset import CROPS_FOLDER, CropWriter
from annotator.estimators import PoseEstimator
from annotator.inputs import BadInput, Input
from annotator.pipeline import FinishedShard, Shard, cut_shards, judge_visibility, process
from annotator.prediction_report import write_prediction_report
from annotator.predictions import PREDICTIONS_FILE, Prediction, read_predictions
from annotator.report import PICTURES, REPORT_FILE
from annotator.run_folder import RunFolder
from cvat_export.archive import write_archive
from cvat_export.atomic import write_bytes, write_json_lines
from cvat_export.coco import ANNOTATION_FILE, encode_coco
from cvat_export.dataset import Category, Dataset

ERRORS_FILE = "errors.jsonl"

Progress = Callable[[int], object]  # called with the number of inputs that have just been done


@dataclass(frozen=True)
class LabelOptions:
    """How proposals become labels.

    min_joint_score: None for what the pose model's card says. crop_padding_px: None unless every subject's crop is
    wanted as a dataset too.
    """

    category: str = "person"
    min_joint_score: float | None = None
    crop_padding_px: int | None = None
    report_pictures: int = 500


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    images: int
    empty_images: int
    subjects: int
    skipped: int


def archive_path(out: Path) -> Path:
    """OUT.zip, beside OUT."""
    return out.with_name(f"{out.name}.zip")


def crops_archive_path(out: Path) -> Path:
    """OUT-crops.zip, beside OUT."""
    return out.with_name(f"{out.name}-crops.zip")


def output_paths(out: Path) -> tuple[Path, ...]:
    """Everything that a run writes, and that --overwrite removes."""
    names = ("images", "annotations", PREDICTIONS_FILE, ERRORS_FILE, REPORT_FILE, PICTURES, CROPS_FOLDER)
    return (*(out / name for name in names), archive_path(out), crops_archive_path(out))


def preannotate(
    inputs: Sequence[Input],
    estimator: PoseEstimator,
    options: LabelOptions,
    folder: RunFolder,
    workers: int,
    progress: Progress = lambda done: None,
) -> None:
    """Fill the folder, which must be locked, with what is not in it yet; then write the dataset around it."""
    writer = _ShardWriter(folder, estimator, options)
    (folder.path / "images").mkdir(exist_ok=True)
    shards = cut_shards(loader for item in inputs for loader in item.loaders())
    done = folder.done_shards()

    def remaining() -> Iterator[Shard]:
        for shard in shards:
            if shard.number in done:
                progress(len(shard.loaders))
            else:
                yield shard

    with ThreadPoolExecutor(workers, thread_name_prefix="preannotate") as pool:
        try:
            for finished in _written(process(remaining(), estimator, pool), writer, pool):
                progress(len(finished.rows) + len(finished.bad))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    _write_dataset(folder, estimator, options)
    folder.finish()


def summarise(out: Path) -> Outcome:
    """Count what a finished run wrote."""
    counts = [len(prediction.boxes) for prediction in read_predictions(out / PREDICTIONS_FILE)]
    errors = out / ERRORS_FILE
    skipped = len(errors.read_text("utf-8").splitlines()) if errors.exists() else 0
    return Outcome(len(counts), counts.count(0), sum(counts), skipped)


@dataclass(frozen=True)
class _ShardWriter:
    """Writes a shard's images, then the shard itself: its presence says that all of it is there."""

    folder: RunFolder
    estimator: PoseEstimator
    options: LabelOptions

    def write(self, shard: FinishedShard) -> FinishedShard:
        predictions = []
        wanted = self.options.min_joint_score
        least = self.estimator.min_joint_score if wanted is None else wanted
        for image, raw in shard.rows:
            write_bytes(self.folder.path / "images" / image.file_name, image.content)
            prediction = judge_visibility(raw, least)
            predictions.append(prediction.to_json(self.estimator.detection, self.estimator.pose))
            if self.options.crop_padding_px is not None:
                CropWriter(self.folder.path, self.options.crop_padding_px).write(image.pixels, prediction)
        errors = [{"file": bad.file, "error": bad.error} for bad in shard.bad]
        self.folder.write_shard(shard.number, {"predictions": predictions, "errors": errors})
        return shard


def _written(
    shards: Iterable[FinishedShard], writer: _ShardWriter, pool: ThreadPoolExecutor
) -> Iterator[FinishedShard]:
    """The shards once they are on disk; one is being written while the models run on the next."""
    pending: Future[FinishedShard] | None = None
    for shard in shards:
        if pending is not None:
            yield pending.result()
        pending = pool.submit(writer.write, shard)
    if pending is not None:
        yield pending.result()


def _write_dataset(folder: RunFolder, estimator: PoseEstimator, options: LabelOptions) -> None:
    out = folder.path
    write_json_lines(out / PREDICTIONS_FILE, (row for shard in folder.shards() for row in shard["predictions"]))
    errors = [row for shard in folder.shards() for row in shard["errors"]]
    if errors:
        write_json_lines(out / ERRORS_FILE, errors)
    predictions = [Prediction.from_json(row) for shard in folder.shards() for row in shard["predictions"]]
    category = Category(options.category, estimator.skeleton)
    dataset = Dataset((category,), tuple(prediction.labelled(options.category) for prediction in predictions))
    _write_coco(dataset, out, archive_path(out))
    if options.crop_padding_px is not None:
        crops = CropWriter(out, options.crop_padding_px).dataset(predictions, category)
        _write_coco(crops, out / CROPS_FOLDER, crops_archive_path(out))
    bad = [BadInput(row["file"], row["error"]) for row in errors]
    models = {"detector": estimator.detection, "pose model": estimator.pose}
    write_prediction_report(out, predictions, bad, category, options.report_pictures, models)


def _write_coco(dataset: Dataset, folder: Path, archive: Path) -> None:
    (folder / ANNOTATION_FILE).parent.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / ANNOTATION_FILE, encode_coco(dataset))
    write_archive(folder, [image.file_name for image in dataset.images], archive)
