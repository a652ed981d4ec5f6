"""annotator select, from frames folders to the folder of the chosen: the models of the install on drawn figures."""

import json
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from annotator.acquisition.doubts import pose_doubts
from annotator.commands.choose_frames import command as choose_frames
from annotator.commands.select import command
from annotator.errors import AnnotatorError
from annotator.inputs import ImageFile
from annotator.known_frames import file_key, read_known_frames
from annotator.pose_model import load_pose_model
from cvat_export.archive import write_archive
from cvat_export.atomic import write_bytes
from cvat_export.coco import ANNOTATION_FILE, encode_coco
from cvat_export.labels import Boxes
from demo.film import film
from demo.footage import write_footage
from demo.marker_models import write_models
from frame_tools.images import read_image, read_manifest
from trainers.pose_decoding import InputJoints, mirrored_back
from trainers.runtimes import Execution


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A frames folder of 24 frames, 0.15 s apart, and the truth about all frames of their video."""
    folder = tmp_path_factory.mktemp("drawn")
    truth = write_footage(folder / "film.mp4", islice(film(), 72))
    _call(choose_frames, folder / "film.mp4", "-o", folder / "frames", "--method", "every", "--step", "3")
    return folder / "frames", truth


@pytest.fixture(scope="module")
def evaluation(drawn, tmp_path_factory):
    """Frames held out, drawn uniformly."""
    out = tmp_path_factory.mktemp("evaluation") / "evaluation"
    run(drawn[0], "-o", out, "-n", 5, "--strategy", "uniform")
    return out


@pytest.fixture(scope="module")
def corrected(drawn, evaluation, tmp_path_factory):
    """A zip with labels of three frames that are not held out, and their pictures."""
    held_out = {entry.file for entry in read_manifest(evaluation)}
    names = [entry.file for entry in read_manifest(drawn[0]) if entry.file not in held_out][:9:3]
    folder = tmp_path_factory.mktemp("corrected") / "corrected"
    dataset = replace(drawn[1], images=tuple(image for image in drawn[1].images if image.file_name in names))
    (folder / "images").mkdir(parents=True)
    for name in names:
        shutil.copyfile(drawn[0] / name, folder / "images" / name)
    (folder / ANNOTATION_FILE).parent.mkdir()
    write_bytes(folder / ANNOTATION_FILE, encode_coco(dataset))
    write_archive(folder, names, folder.with_suffix(".zip"))
    return folder.with_suffix(".zip"), names


@pytest.fixture(scope="module")
def second_round(drawn, evaluation, corrected, tmp_path_factory):
    """What hybrid selects of the rest, and what it said."""
    out = tmp_path_factory.mktemp("round") / "round2"
    known = ("--held-out", evaluation / "manifest.jsonl", "--labelled", corrected[0])
    return out, run(drawn[0], "-o", out, "-n", 8, "--strategy", "hybrid", *known, "--json")


def _call(a_command, *args):
    result = CliRunner().invoke(a_command, [str(arg) for arg in args], standalone_mode=False)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.return_value or 0, result.stdout, result.stderr


def run(*args):
    return _call(command, *args)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_uniform_copies_frames_and_asks_no_model(drawn, evaluation):
    entries = read_manifest(evaluation)
    origin = {entry.file: entry for entry in read_manifest(drawn[0])}
    assert len(entries) == 5 and entries == sorted(entries, key=lambda entry: entry.pts)
    for entry in entries:
        assert (evaluation / entry.file).read_bytes() == (drawn[0] / entry.file).read_bytes()
        assert entry.reason == "uniform: drawn by lot, 5 of 24 frames"
        assert entry.quality["inclusion_probability"] == pytest.approx(5 / 24, abs=1e-4)
        old = origin[entry.file]
        assert (
            replace(entry, reason=old.reason, quality=old.quality) == old
            and old.quality.items() <= entry.quality.items()
        )
    assert json.loads((evaluation / "run.json").read_text())["plan"]["models"] is None


def test_figures_of_an_earlier_selection_are_not_kept(evaluation, tmp_path):
    run(evaluation, "-o", tmp_path / "out", "-n", 2, "--strategy", "uniform", "--seed", 7)
    for entry in read_manifest(tmp_path / "out"):
        assert entry.quality["inclusion_probability"] == 0.4 and entry.quality["rank"] <= 2


def test_hybrid_leaves_out_what_is_labelled_and_held_out(evaluation, corrected, second_round):
    out, (code, stdout, stderr) = second_round
    result = json.loads(stdout)
    assert code == 0 and result["candidates"] == 24 - 5 - 3 and result["parts"] == {"uncertain": 6, "uniform": 2}
    entries = read_manifest(out)
    assert len(entries) == len({entry.file for entry in entries}) == 8
    assert not {entry.file for entry in entries} & {*corrected[1], *(entry.file for entry in read_manifest(evaluation))}
    assert sorted(entry.quality["rank"] for entry in entries) == [*range(1, 9)]
    assert result["notes"] == [] and "8 frames selected" in stderr


def test_every_reason_is_on_the_page(second_round):
    out, _ = second_round
    page = (out / "report.html").read_text("utf-8")
    for entry in read_manifest(out):
        assert all(line in page for line in entry.reason.split("; "))
        assert read_image(out / "report_files" / f"{Path(entry.file).stem}.jpg").pixels.shape[1] == 640
    doubtful = [entry for entry in read_manifest(out) if entry.reason.startswith("uncertain")]
    for entry in doubtful:
        assert {"uncertainty", "peaks", "flip", "shift", "jump", "distance"} <= entry.quality.keys()
        assert "; diverse: " in entry.reason
    for signal in ("peaks", "flip", "shift", "jump", "detector"):
        assert f"{signal}, all candidates" in page


@pytest.mark.slow
def test_the_same_command_gives_the_same_bytes_and_another_is_refused(drawn, evaluation, corrected, second_round):
    out, _ = second_round
    before = contents(out)
    known = ("--held-out", evaluation, "--labelled", corrected[0])
    options = (drawn[0], "-o", out, "--strategy", "hybrid", *known)
    run(*options, "-n", 8)
    assert contents(out) == before
    with pytest.raises(AnnotatorError, match="count: was 8, is 7"):
        run(*options, "-n", 7)


def test_diverse_is_another_choice_and_labels_elsewhere_cover(drawn, corrected, tmp_path):
    """Frames of which every picture is labelled in another folder, under other names, are nothing new."""
    entries = read_manifest(drawn[0])
    some = tmp_path / "some"
    some.mkdir()
    lines = (drawn[0] / "manifest.jsonl").read_text().splitlines()[:4]
    (some / "manifest.jsonl").write_text("".join(f"{line}\n" for line in lines[:3]))
    for entry in entries[:3]:
        shutil.copyfile(drawn[0] / entry.file, some / entry.file)
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.jsonl").write_text(lines[3] + "\n")
    shutil.copyfile(drawn[0] / entries[0].file, other / entries[3].file)  # the picture of the first one
    _, _, stderr = run(some, "-o", tmp_path / "out", "-n", 3, "--strategy", "diverse", "--labelled", other)
    chosen = {entry.file: entry for entry in read_manifest(tmp_path / "out")}
    assert chosen[entries[0].file].quality["distance"] < 0.01 and chosen[entries[0].file].quality["rank"] == 3
    assert "none of the 1 frames that are labelled is among those" in stderr


@pytest.mark.slow
def test_two_models_are_compared(drawn, tmp_path):
    _, pose = write_models(tmp_path / "models")
    against = ("--strategy", "disagreement", "--against", pose, "--seed", 3)
    run(drawn[0], "-o", tmp_path / "out", "-n", 3, *against)
    for entry in read_manifest(tmp_path / "out"):
        assert "two models disagree (OKS" in entry.reason or "by lot" in entry.reason
        assert 0 <= entry.quality["models"] <= 1
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "compared with" in page and "models, all candidates" in page


def test_unreadable_frames_are_listed_and_the_rest_is_done(drawn, tmp_path):
    frames = tmp_path / "frames"
    shutil.copytree(drawn[0], frames)
    broken, lost = (entry.file for entry in read_manifest(frames)[:2])
    (frames / broken).write_bytes((frames / broken).read_bytes()[:2000])
    (frames / lost).unlink()
    code, _, stderr = run(frames, "-o", tmp_path / "out", "-n", 30, "--strategy", "uniform")
    assert code == 3 and "2 frames were skipped" in stderr
    assert "24 of 30: there are no more than 24 frames to select from" in stderr
    errors = [json.loads(line) for line in (tmp_path / "out" / "errors.jsonl").read_text().splitlines()]
    assert {Path(row["file"]).name for row in errors} == {broken, lost}
    assert len(read_manifest(tmp_path / "out")) == 22
    run(drawn[0], "-o", tmp_path / "out", "-n", 2, "--strategy", "uniform", "--overwrite")
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 2 and not (tmp_path / "out" / "errors.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "{frames}", "-n", 3), "is a folder that is read"),
        (("-o", "{out}", "-n", 3, "--strategy", "uniform", "--against", "x.onnx"), "uniform asks one model at most"),
        (("-o", "{out}", "-n", 3, "--strategy", "hybrid", "--against", "annotator-pose"), "the same model as --pose"),
        (("-o", "{out}"), "Missing option '-n'"),
    ],
)
def test_misuse_is_explained_before_any_work(drawn, tmp_path, options, words):
    options = [str(option).format(frames=drawn[0], out=tmp_path / "out") for option in options]
    result = CliRunner().invoke(command, [str(drawn[0]), *options])
    assert result.exit_code == 2 and words in result.stderr
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_selected_from_is_one_message(drawn, tmp_path):
    (tmp_path / "empty").mkdir()
    common = ("-o", tmp_path / "out", "-n", 3, "--strategy", "uniform")
    with pytest.raises(
        AnnotatorError, match=r"no manifest\.jsonl in it; expected a folder that annotator choose-frames"
    ):
        run(tmp_path / "empty", *common)
    with pytest.raises(AnnotatorError, match="no such file or folder"):
        run(drawn[0], *common, "--labelled", tmp_path / "nowhere")
    with pytest.raises(AnnotatorError, match="got 24 frames, all of them labelled or held out"):
        run(drawn[0], *common, "--held-out", drawn[0])


def test_a_frame_is_known_by_folders_and_by_label_files(drawn, corrected):
    by_manifest, by_labels = read_known_frames(drawn[0]), read_known_frames(corrected[0])
    assert len(by_manifest) == 24 and by_labels.keys() < by_manifest.keys()
    for name in corrected[1]:
        assert by_labels[file_key(name)].read().shape == read_image(drawn[0] / name).pixels.shape
    assert file_key("images/take-2-0123abcd--40.png") == ("0123abcd", -40)
    assert file_key("a/000123.jpg") == "000123"


def test_a_model_that_moves_with_its_crop_has_no_doubts(drawn, tmp_path):
    """The marker network sees dots where they are, however the crop lies; its card rules mirroring out."""
    _, path = write_models(tmp_path)
    model = load_pose_model(path, None, Execution(precision="f32"))
    name = read_manifest(drawn[0])[-1].file
    image = ImageFile(drawn[0] / name).load()
    people = next(one for one in drawn[1].images if one.file_name == name).instances
    boxes = Boxes(np.array([person.bbox_xyxy for person in people]), np.ones(len(people)), ("person",) * len(people))
    assert len(boxes)
    doubts = pose_doubts(model, image.pixels, boxes, 8)
    assert np.isnan(doubts["flip"]) and doubts["shift"] < 0.1 and doubts["peaks"] < 0.35
    assert pose_doubts(model, image.pixels, Boxes.empty(), 8) == {"peaks": 0, "flip": 0, "shift": 0}


def test_joints_mirrored_twice_are_as_they_were():
    card = load_pose_model("annotator-pose", None, Execution()).card
    rng = np.random.default_rng(0)
    joints = InputJoints(
        rng.uniform(0, 200, (3, 17, 2)).astype(np.float32), rng.random((3, 17), np.float32), np.ones((3, 17), bool)
    )
    once = mirrored_back(card, joints)
    left, right = card.skeleton.joints.index("left_wrist"), card.skeleton.joints.index("right_wrist")
    np.testing.assert_allclose(once.xy[:, left, 0], card.input.width - joints.xy[:, right, 0])
    np.testing.assert_allclose(mirrored_back(card, once).xy, joints.xy, atol=1e-4)
    np.testing.assert_array_equal(once.scores[:, left], joints.scores[:, right])


def test_without_a_model_diverse_goes_by_looks(drawn, tmp_path):
    run(drawn[0], "-o", tmp_path / "chosen", "-n", 4, "--strategy", "diverse", "--pose", "none")
    reasons = [entry.reason for entry in read_manifest(tmp_path / "chosen")]
    assert len(reasons) == 4 and all(reason.startswith("diverse") for reason in reasons)
    assert any("100% looks" in reason for reason in reasons)


def test_without_a_model_nothing_can_be_doubted(drawn, tmp_path):
    with pytest.raises(click.UsageError, match="uncertain asks a model"):
        run(drawn[0], "-o", tmp_path / "chosen", "-n", 1, "--strategy", "uncertain", "--pose", "none")
