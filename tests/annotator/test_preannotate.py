"""preannotate, from the command line to the zip, on drawn figures whose joints are known."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotator.predictions import read_predictions
from cvat_export.archive import import_problems
from cvat_export.coco import ANNOTATION_FILE, read_coco
from cvat_export.labels import Visibility
from demo.film import HEIGHT, WIDTH, Moment, scenes
from demo.marker_models import write_models
from tests.annotator.yolo_models import make_yolo

PROGRAM = [sys.executable, "-c", "from annotator.cli import main; main()"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The marker detector and the marker pose model of the demo, as options."""
    detector, pose = write_models(tmp_path_factory.mktemp("models"))
    return ["--detection", str(detector), "--pose", str(pose), "--precision", "f32"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder of drawn images and, by file name, who is in them; the last is without people."""
    folder = tmp_path_factory.mktemp("drawn")
    people = {}
    for number, (scene, seconds) in enumerate([(0, 1.0), (0, 2.5), (1, 1.5)]):
        moment = Moment(scenes()[scene], scenes()[scene].scenery(), seconds)
        Image.fromarray(moment.expose()).save(folder / f"drawn_{number}.png")
        people[f"drawn_{number}.png"] = moment.people()
    Image.fromarray(np.full((360, 640, 3), 90, np.uint8)).save(folder / "empty.png")
    return folder, people | {"empty.png": ()}


def _run(*arguments, code=0, cwd=None):
    result = subprocess.run(
        [*PROGRAM, "preannotate", *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd
    )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


def _bytes(folder):
    """Every file of a folder, hidden ones too, and the zips beside it."""
    files = [*folder.rglob("*"), *folder.parent.glob(f"{folder.name}*.zip")]
    return {str(file.relative_to(folder.parent)): file.read_bytes() for file in files if file.is_file()}


@pytest.fixture(scope="module")
def done(models, drawn, tmp_path_factory):
    """A finished run over the drawn images."""
    out = tmp_path_factory.mktemp("done") / "out"
    result = _run(drawn[0], "-o", out, *models, "--crops")
    assert result.stdout.strip() == f"{out}.zip"
    return out


def test_joints_are_where_they_were_drawn(done, drawn):
    errors = []
    for image in read_coco(done).images:
        people = [person for person in drawn[1][image.file_name] if (person.visibility == 2).sum() >= 12]
        for person in people:
            distances = [np.linalg.norm(instance.xy - person.xy, axis=1) for instance in image.instances]
            best = min(distances, key=lambda distance: np.median(distance[person.visibility == 2]))
            errors += [*best[person.visibility == 2]]
    assert len(errors) > 40
    assert np.median(errors) < 1.5
    assert np.percentile(errors, 80) < 4


def test_images_without_people_stay(done):
    images = {image.file_name: image for image in read_coco(done).images}
    assert len(images) == 4
    assert images["empty.png"].instances == ()
    assert len(images["drawn_0.png"].instances) > 0


def test_plain_images_are_kept_byte_for_byte(done, drawn):
    for path in drawn[0].iterdir():
        assert (done / "images" / path.name).read_bytes() == path.read_bytes()


def test_the_zip_keeps_cvats_rules(done):
    with zipfile.ZipFile(done.with_name("out.zip")) as archive:
        assert archive.testzip() is None
        content = json.loads(archive.read(ANNOTATION_FILE))
        assert {f"images/{image['file_name']}" for image in content["images"]} < set(archive.namelist())
    assert import_problems(content) == []


def test_predictions_hold_what_coco_cannot(done):
    predictions = list(read_predictions(done / "predictions.jsonl"))
    assert [prediction.file_name for prediction in predictions][-1] == "empty.png"
    assert predictions[0].keypoints.scores.shape == predictions[0].keypoints.xy.shape[:2]
    for prediction in predictions:
        low = prediction.keypoints.scores < 0.2
        assert (prediction.keypoints.visibility[low] == Visibility.NOT_LABELLED).all()


def test_crops_show_the_same_joints(done):
    crops = read_coco(done / "crops")
    whole = {image.file_name: image for image in read_coco(done).images}
    assert len(crops.images) == sum(len(image.instances) for image in whole.values())
    for crop in crops.images:
        stem, position = crop.file_name.removesuffix(".jpg").rsplit("-", 1)
        original = whole[f"{stem}.png"].instances[int(position)]
        offset = original.xy - crop.instances[0].xy
        assert np.ptp(offset, axis=0) == pytest.approx([0, 0], abs=0.02)
        left, top = offset[0].round().astype(int)
        with Image.open(done / "crops" / "images" / crop.file_name) as picture:
            assert picture.size == (crop.width, crop.height)
            pixels = np.asarray(picture, np.int16)
        with Image.open(done / "images" / f"{stem}.png") as picture:
            there = np.asarray(picture, np.int16)[top : top + crop.height, left : left + crop.width]
        assert np.abs(pixels - there).mean() < 6  # JPEG
    assert zipfile.is_zipfile(done.with_name("out-crops.zip"))


def test_the_page_shows_every_image(done):
    text = (done / "report.html").read_text("utf-8")
    for image in read_coco(done).images:
        assert image.file_name in text
        assert (done / "report_files" / f"{Path(image.file_name).stem}.jpg").is_file()


def test_a_finished_run_is_not_done_again(done, drawn, models):
    before = _bytes(done)
    result = _run(drawn[0], "-o", done, *models, "--crops")
    assert "is complete already" in result.stderr
    assert _bytes(done) == before


def test_other_options_are_refused(done, drawn, models):
    result = _run(drawn[0], "-o", done, *models, "--crops", "--iou", "0.5", code=1)
    assert "iou: was 0.7, is 0.5" in result.stderr


def test_json(drawn, models, tmp_path):
    result = _run(drawn[0] / "drawn_0.png", "-o", tmp_path / "out", *models, "--json")
    content = json.loads(result.stdout)
    assert content["images"] == 1
    assert content["subjects"] > 0


@pytest.fixture
def many(drawn, tmp_path):
    """More images than a shard holds, so that there is something to resume."""
    folder = tmp_path / "many"
    folder.mkdir()
    for copy in range(10):
        for path in drawn[0].iterdir():
            os.link(path, folder / f"{copy}_{path.name}")
    return folder


def _survives(arguments, seconds):
    """Start, and kill after some seconds; whether it had ended by itself before that."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*PROGRAM, "preannotate", *map(str, arguments)], stdout=quiet, stderr=quiet)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return False
    return True


def test_killed_while_writing_shards_and_resumed(many, models, tmp_path):
    _run(many, "-o", tmp_path / "calm" / "out", *models)
    out = tmp_path / "killed" / "out"
    process = subprocess.Popen(
        [*PROGRAM, "preannotate", *map(str, (many, "-o", out, *models))], stderr=subprocess.DEVNULL
    )
    while not list(out.glob(".shards/*.json")) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (out / "report.html").exists()
    _run(many, "-o", out, *models)
    assert _bytes(out) == _bytes(tmp_path / "calm" / "out")


@pytest.mark.slow
def test_killed_at_twenty_random_moments_and_resumed(many, models, tmp_path):
    calm = tmp_path / "calm" / "out"
    durations = []
    for _ in range(2):
        start = time.monotonic()
        _run(many, "-o", calm, *models, "--crops", "--overwrite")
        durations.append(time.monotonic() - start)
    rng, duration = random.Random(20), min(durations)
    kills, begun = 0, 0
    while kills < 20 and begun < 20:
        begun += 1
        out = tmp_path / f"killed{begun}" / "out"
        arguments = [many, "-o", out, *models, "--crops"]
        for _ in range(5):
            if _survives(arguments, rng.uniform(0.2, 0.9) * duration):
                duration *= 0.8  # the machine has less to do than when it was measured
                break
            kills += 1
        _run(*arguments)
        assert _bytes(out) == _bytes(calm)
    assert kills >= 20


def test_bad_images_are_listed_and_the_rest_is_done(drawn, models, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    image = Image.open(drawn[0] / "drawn_0.png")
    image.save(folder / "good.jpg", quality=95)
    (folder / "cut.jpg").write_bytes((folder / "good.jpg").read_bytes()[:9000])
    (folder / "text.jpg").write_text("dear diary")
    (folder / "nothing.jpg").touch()
    Image.new("L", (20_000, 10)).save(folder / "wide.png")
    result = _run(folder, "-o", tmp_path / "out", *models, code=3)
    assert "4 inputs were skipped" in result.stderr
    errors = [json.loads(line) for line in (tmp_path / "out" / "errors.jsonl").read_text().splitlines()]
    assert {Path(row["file"]).name for row in errors} == {"cut.jpg", "text.jpg", "nothing.jpg", "wide.png"}
    assert [image.file_name for image in read_coco(tmp_path / "out").images] == ["good.jpg"]


def test_unusual_images_become_upright_rgb(drawn, models, tmp_path):
    folder = tmp_path / "unusual"
    folder.mkdir()
    image = Image.open(drawn[0] / "drawn_0.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    image.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", exif=exif, quality=97, subsampling=0)
    image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(folder / "palette.png")
    image.convert("CMYK").save(folder / "cmyk.jpg", quality=97)
    image.save(folder / "plain.png")
    _run(folder, "-o", tmp_path / "out", *models)
    found = {image.file_name: image for image in read_coco(tmp_path / "out").images}
    for name in ("turned.jpg", "palette.png", "cmyk.jpg"):
        assert (found[name].width, found[name].height) == (WIDTH, HEIGHT)
        with Image.open(tmp_path / "out" / "images" / name) as written:
            assert (written.mode, written.size, written.getexif().get(0x0112)) == ("RGB", (WIDTH, HEIGHT), None)
    plain, turned = found["plain.png"].instances, found["turned.jpg"].instances
    assert len(turned) == len(plain)
    clear = plain[0].visibility == 2
    assert np.median(np.linalg.norm(plain[0].xy - turned[0].xy, axis=1)[clear]) < 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no such file"),
        (["{empty}"], "no images in"),
        (["{video}"], "empty (0 bytes)"),
        (["{drawn}", "--pose", "{text}"], "notes.txt"),
        (["{drawn}", "--detection", "{text}"], "notes.txt"),
        (["{drawn}", "--skeleton", "nonsense"], "not one of blazepose33"),
        (["{drawn}", "--pose-card", "{card}"], "card.yaml"),
        (["{drawn}", "{drawn}"], "base names are used twice"),
    ],
)
def test_what_makes_no_sense_fails_before_any_work(arguments, words, drawn, models, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "movie.mp4").touch()
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "card.yaml").write_text("name: x\nskeleton: coco17\n")
    places = {
        "drawn": drawn[0],
        "empty": tmp_path / "empty",
        "video": tmp_path / "movie.mp4",
        "text": tmp_path / "notes.txt",
        "card": tmp_path / "card.yaml",
    }
    arguments = [argument.format(**places) for argument in arguments]
    result = _run(*models, *arguments, "-o", tmp_path / "out", code=1)
    assert words in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["/sys/out", "/sys/kernel"])  # where even root may not write
def test_a_folder_without_rights(drawn, models, out):
    result = _run(drawn[0], "-o", out, *models, code=1)
    assert f"{out}: " in result.stderr


def test_a_one_stage_model_is_both(drawn, tmp_path):
    if find_spec("ultralytics") is None:  # not importorskip: a plain import changes how Pillow opens files
        pytest.skip("ultralytics is not installed")
    weights = make_yolo("yolo11n-pose", tmp_path / "yolo11n-pose.pt")
    (tmp_path / "text.jpg").write_text("dear diary")  # ultralytics changes how Pillow opens what is no image
    images = [drawn[0], tmp_path / "text.jpg"]
    _run(*images, "-o", tmp_path / "out", "--pose", weights, "--max-people", "2", "--min-joint-score", "0", code=3)
    dataset = read_coco(tmp_path / "out")
    assert dataset.categories[0].skeleton.joints[0] == "nose"
    assert [len(image.instances) for image in dataset.images] == [2, 2, 2, 2]
    (line, *_) = read_predictions(tmp_path / "out" / "predictions.jsonl")
    assert line.boxes.class_names == ("person", "person")
    result = _run(drawn[0], "-o", tmp_path / "more", "--pose", weights, "--flip-test", code=1)
    assert "top-down pose models only" in result.stderr


def test_a_pose_model_alone_gets_the_detector_of_the_install(drawn, models, tmp_path):
    result = _run(drawn[0], "-o", tmp_path / "out", *models[2:])
    assert "annotator-person: openvino" in result.stderr


def test_the_output_may_not_hold_the_input(drawn, models):
    result = _run(drawn[0] / "drawn_0.png", "-o", drawn[0], *models, code=1)
    assert "choose another folder" in result.stderr


def test_the_skeleton_asked_for_is_matched_by_name(drawn, models, tmp_path):
    skeleton = tmp_path / "arms.yaml"
    skeleton.write_text("name: arms\njoints: [Right Wrist, tail, LeftWrist]\nedges: [[Right Wrist, LeftWrist]]\n")
    coco = tmp_path / "coco"
    _run(drawn[0], "-o", coco, *models)
    _run(drawn[0], "-o", tmp_path / "arms", *models, "--skeleton", skeleton, "--category", "arms")
    full, part = read_coco(coco), read_coco(tmp_path / "arms")
    assert part.categories[0].skeleton.joints == ("Right Wrist", "tail", "LeftWrist")
    names = full.categories[0].skeleton.joints
    for whole, arms in zip(full.images, part.images, strict=True):
        for person, wrists in zip(whole.instances, arms.instances, strict=True):
            np.testing.assert_array_equal(wrists.xy[0], person.xy[names.index("right_wrist")])
            np.testing.assert_array_equal(wrists.xy[2], person.xy[names.index("left_wrist")])
            assert wrists.visibility[1] == Visibility.NOT_LABELLED


def test_without_a_model_people_begin_with_nothing(drawn, tmp_path):
    _run(drawn[0], "-o", tmp_path / "out", "--pose", "none", "--skeleton", "mouse4", "--category", "mouse")
    dataset = read_coco(tmp_path / "out")
    assert len(dataset.images) == 4 and not any(image.instances for image in dataset.images)
    (category,) = dataset.categories
    assert category.name == "mouse" and len(category.skeleton.joints) == 4
    assert "--skeleton" in _run(drawn[0], "-o", tmp_path / "other", "--pose", "none", code=1).stderr
