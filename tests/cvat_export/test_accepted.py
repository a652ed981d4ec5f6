"""acceptance of what was pushed, corrected and pulled through the stand-in server, from the command line."""

import json

import pytest
from click.testing import CliRunner

from annotator.cli import group
from annotator.errors import AnnotatorError
from annotator.predictions import FrameSource, ModelIdentity, Prediction
from cvat_export.coco import ANNOTATION_FILE, read_coco
from cvat_export.labels import Boxes, Keypoints
from tests.cvat_export.cvat_datasets import COCO, finish_all, person, pull, push, replay_scenario, write_out


def acceptance(*arguments):
    """Stdout and stderr."""
    result = CliRunner().invoke(group, ["acceptance", *map(str, arguments)], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.stdout, result.stderr


def test_acceptance_of_the_recorded_scenario_is_what_was_done(server, tmp_path, shared_data):
    replay_scenario(server, shared_data / "cvat", tmp_path / "out")
    assert pull(tmp_path / "corrected", "--jobs", "all")[0] == 0
    found = json.loads(acceptance(tmp_path / "corrected", "--json")[0])
    proposed = read_coco(tmp_path / "out").images
    assert found["total"]["subjects"] == {"confirmed": 1, "edited": 2, "deleted": 1, "added": 0}
    joints = {outcome: count for outcome, count in found["total"]["joints"].items() if count}
    kept = sum(int(one.labelled.sum()) for image in proposed[:2] for one in image.instances)
    assert joints == {"moved": 1, "occlusion changed": 1, "swapped": 6, "left alone": kept - 8}
    assert found["by_joint"]["nose"]["moved_px"]["median"] == pytest.approx(34**0.5, abs=0.01)
    assert found["by_joint"]["left_wrist"]["joints"]["occlusion changed"] == 1
    swapped = {name for name, part in found["by_joint"].items() if part["joints"]["swapped"]}
    assert swapped == {f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle")}
    page = (tmp_path / "corrected" / "report.html").read_text()
    assert "<td>left_wrist</td>" in page and "occlusion" in page
    assert (found["unfinished_frames"], found["empty_frames"]) == (3, 1)


def _write_predictions(out, scores):
    """predictions.jsonl as preannotate writes it, for a folder that `write_out` made."""
    lines = []
    for image in read_coco(out).images:
        count = len(image.instances)
        boxes = Boxes([one.bbox_xyxy for one in image.instances], [0.8] * count, ("person",) * count)
        xy = [one.xy for one in image.instances]
        keypoints = Keypoints(xy, [[scores] * 17] * count, [one.visibility for one in image.instances])
        prediction = Prediction(image.file_name, 320, 240, FrameSource("ab" * 32, 0), boxes, keypoints)
        lines.append(
            json.dumps(prediction.to_json(ModelIdentity("hog", None), ModelIdentity("best.ckpt", "1a2b3c4d" * 8)))
        )
    (out / "predictions.jsonl").write_text("\n".join(lines) + "\n")


def test_the_record_knows_models_and_scores_and_the_page_says_what_was_written(server, tmp_path):
    """Joint scores of 0.1 make every proposal suspect."""
    out = write_out(tmp_path / "out", [[person(40, 30)], [person(90, 30)]])
    _write_predictions(out, 0.1)
    push(out)
    finish_all(server)
    pull(tmp_path / "corrected")
    stdout, _ = acceptance(tmp_path / "corrected", "--by", "model", "-o", tmp_path / "acceptance")
    assert "hog + best.ckpt 1a2b3c4d" in stdout and str(tmp_path / "acceptance") in stdout
    found = json.loads((tmp_path / "acceptance" / "acceptance.json").read_text())
    assert {one["rule"]: one["proposals"] for one in found["suspects"]} == {"any rule": 2, "low_scores": 2}
    page = (tmp_path / "acceptance" / "report.html").read_text()
    assert "<svg" in page and "best.ckpt 1a2b3c4d" in page and "right_ankle" in page
    assert not (tmp_path / "corrected" / ANNOTATION_FILE).read_text().count("joint_scores")
    acceptance(tmp_path / "corrected", "-o", tmp_path / "acceptance")  # into its own folder it writes again


def test_rounds_are_shown_one_after_the_other(server, tmp_path):
    push(write_out(tmp_path / "out", [[person(40, 30)]]))
    finish_all(server)
    pull(tmp_path / "round-1")
    push(write_out(tmp_path / "more", [[person(90, 30)], [person(60, 30)]], prefix="more"))
    finish_all(server)
    (_, second) = sorted(server.state.tasks)
    for shape in server.state.shapes(second):
        server.state.edit_joint(second, shape["id"], "nose", 5, -3)
    pull(tmp_path / "round-2")
    stdout, stderr = acceptance(tmp_path / "round-1", tmp_path / "round-2", "--json", "-o", tmp_path / "acceptance")
    rounds = json.loads(stdout)["rounds"]
    assert [(one["name"], one["frames"], one["joints"]["moved"]) for one in rounds] == [
        ("round-1", 1, 0),
        ("round-2", 2, 2),
    ]
    assert "Shares by round" in (tmp_path / "acceptance" / "report.html").read_text()
    assert stderr == "" and len(json.loads(stdout)["by_joint"]) == len(COCO.joints)


def test_what_pull_did_not_write_is_an_error(tmp_path):
    out = write_out(tmp_path / "out", [[person(40, 30)]])
    with pytest.raises(AnnotatorError, match=r"has no changes\.jsonl; expected a folder that annotator pull wrote"):
        acceptance(out)
    (out / "changes.jsonl").write_text('{"fate": "confirmed"')
    with pytest.raises(AnnotatorError, match=r"changes\.jsonl: is damaged"):
        acceptance(out)
    (out / "changes.jsonl").write_text('{"fate": "confirmed", "width": 3}\n')
    with pytest.raises(AnnotatorError, match="that this version does not know: KeyError"):
        acceptance(out)
    with pytest.raises(AnnotatorError, match="holds no earlier acceptance"):
        acceptance(out, "-o", out)
