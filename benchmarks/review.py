"""A large folder of proposals in FiftyOne: how long until it is open, and until it is open again, seconds and memory.

    python -m benchmarks.review [--images 20000] [--subjects 2]

Writes a folder of random proposals over one small JPEG, linked once a frame, and opens it in FiftyOne's own MongoDB, in
a temporary folder: read and judged, sent to the database, and the App answering. Then the same again, with nothing
changed, as it is on a second look. What frames look like is compared while the App is open, and measured apart. Memory
is the most that the process had resident, without MongoDB's. OMP_NUM_THREADS=1 keeps it to one core.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from annotator.predictions import FrameSource, ModelIdentity, Prediction
from benchmarks.tables import markdown
from cvat_export.atomic import write_bytes, write_json_lines
from cvat_export.coco import ANNOTATION_FILE, encode_coco
from cvat_export.dataset import Category, Dataset
from cvat_export.labels import Boxes, Keypoints
from cvat_export.skeleton import read_skeleton
from frame_tools.images import encode_image

_WIDTH, _HEIGHT = 320, 240
_FRAMES_A_VIDEO = 1000
Seconds = tuple[float, float, float, float, float]  # read, sent, the App, all of these, compared
_MODEL = ModelIdentity("random", "0" * 64)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--subjects", type=int, default=2)
    options = parser.parse_args()
    with TemporaryDirectory() as place:
        out, database = Path(place) / "out", Path(place) / "database"
        write_folder(out, options.images, options.subjects)
        os.environ |= {"FIFTYONE_DATABASE_DIR": str(database), "FIFTYONE_CONFIG_PATH": f"{place}/config.json"}
        with multiprocessing.get_context("spawn").Pool(1) as process:
            first, again, mebibytes = process.apply(open_twice, (out,))
        wait_for_end(database)
    names = ("read and judged", "sent to FiftyOne", "App answers", "all until it is open", "looks compared, meanwhile")
    rows = [[name, f"{one:.1f}", f"{two:.1f}"] for name, one, two in zip(names, first, again, strict=True)]
    print(f"{options.images:,} images of {options.subjects} subjects each; {mebibytes:.0f} MiB at most\n")
    print(markdown(["what", "seconds, new", "seconds, again"], rows))


def open_twice(out: Path) -> tuple[Seconds, Seconds, float]:
    """Of each time the seconds of each part; MiB at most."""
    first, again = open_once(out, compare=False), open_once(out, compare=True)
    return first, again, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def wait_for_end(database: Path, seconds: float = 30) -> None:
    """Until the MongoDB, which ends soon after the process that began it, has left its folder."""
    lock, ends = database / "mongod.lock", time.monotonic() + seconds
    while lock.exists() and lock.stat().st_size and time.monotonic() < ends:
        time.sleep(0.2)


def open_once(out: Path, compare: bool) -> Seconds:
    """Seconds of each part, as `annotator review` goes through them; 0 for looks that are not compared."""
    from annotator.review.app import App
    from annotator.review.fiftyone_dataset import open_dataset
    from annotator.review.folders import read_review
    from annotator.review.looks import compare_looks

    started = time.perf_counter()
    review = read_review(out)
    read = time.perf_counter()
    dataset = open_dataset("benchmark")
    dataset.update(review)
    sent = time.perf_counter()
    with App(dataset, None, browser=False) as app:
        urllib.request.urlopen(app.url).read()
        opened = time.perf_counter()
        if compare:
            compare_looks(review, dataset, lambda count: None)
        compared = time.perf_counter()
    return read - started, sent - read, opened - sent, opened - started, compared - opened


def write_folder(out: Path, images: int, subjects: int) -> None:
    """What preannotate would write, as far as a review reads it."""
    (out / "images").mkdir(parents=True)
    (out / ANNOTATION_FILE).parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (_HEIGHT, _WIDTH, 3), np.uint8)
    write_bytes(out / "picture.jpg", encode_image(pixels, ".jpg", quality=60))
    predictions = list(_predictions(images, subjects))
    for one in predictions:
        (out / "images" / one.file_name).hardlink_to(out / "picture.jpg")
    labelled = tuple(one.labelled("person") for one in predictions)
    write_bytes(out / ANNOTATION_FILE, encode_coco(Dataset((Category("person", read_skeleton("coco17")),), labelled)))
    write_json_lines(out / "predictions.jsonl", (one.to_json(_MODEL, _MODEL) for one in predictions))


def _predictions(images: int, subjects: int) -> Iterator[Prediction]:
    """A thousand frames a video; subjects anywhere in the picture."""
    rng = np.random.default_rng(0)
    for number in range(images):
        sha256, pts = f"{number // _FRAMES_A_VIDEO:08x}".ljust(64, "0"), 40 * (number % _FRAMES_A_VIDEO)
        corners = rng.uniform((0, 0), (_WIDTH - 60, _HEIGHT - 110), (subjects, 2))
        opposite = corners + np.array((50, 100))
        sure = rng.uniform(0.3, 1, subjects).astype(np.float32)
        boxes = Boxes(np.hstack([corners, opposite]).astype(np.float32), sure, ("person",) * subjects)
        xy = corners[:, None] + rng.uniform((0, 0), (50, 100), (subjects, 17, 2))
        scores = rng.uniform(0.2, 1, (subjects, 17)).astype(np.float32)
        joints = Keypoints(xy.astype(np.float32), scores, np.full((subjects, 17), 2, np.uint8))
        name = f"video-{sha256[:8]}-{pts}.jpg"
        yield Prediction(name, _WIDTH, _HEIGHT, FrameSource(sha256, pts, "1/1000"), boxes, joints)


if __name__ == "__main__":
    main()
