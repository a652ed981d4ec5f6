"""What a task may hold beside the skeletons that were pushed: taken or named, never dropped silently."""

from dataclasses import dataclass, field

from cvat_export.cvat_labels import label_specification
from cvat_export.pulling import Finished, pull_task
from cvat_export.remote import RemoteFrame, RemoteJob, RemoteTask
from cvat_export.skeleton import Skeleton

PAIR = Skeleton("pair", ("nose", "tail"), edges=((0, 1),))
CAT = Skeleton("cat", ("paw",))


def label(label_id, name, skeleton, first_id):
    """A label as the server describes it."""
    row = {**label_specification(name, skeleton), "id": label_id}
    row["sublabels"] = [{**sub, "id": first_id + i} for i, sub in enumerate(row["sublabels"])]
    return row


def skeleton_shape(shape_id, label_id, first_id, xy, frame=0, group=0, source="manual"):
    elements = [
        {"label_id": first_id + i, "points": list(point), "occluded": False, "outside": False}
        for i, point in enumerate(xy)
    ]
    common = {"id": shape_id, "label_id": label_id, "frame": frame, "group": group, "source": source}
    return {**common, "type": "skeleton", "elements": elements, "attributes": []}


@dataclass
class Server:
    """Answers as `CvatServer` does."""

    shapes: list = field(default_factory=list)
    tracks: list = field(default_factory=list)
    tags: list = field(default_factory=list)
    all_jobs: list = field(default_factory=lambda: [job(1, 0, 1)])

    def task(self, task_id):
        return RemoteTask(task_id, "others", 1, 2)

    def labels(self, *, task_id):
        boxes = {"id": 9, "name": "ball", "type": "rectangle"}
        return [label(1, "mouse", PAIR, 10), label(2, "cat", CAT, 20), boxes]

    def jobs(self, task_id):
        return self.all_jobs

    def frames(self, task_id):
        return [RemoteFrame(i, f"f{i}.jpg", 100, 80, False) for i in range(2)]

    def annotations(self, task_id):
        return {"shapes": self.shapes, "tracks": self.tracks, "tags": self.tags}


def job(job_id, start, stop, state="completed", stage="acceptance"):
    return RemoteJob(job_id, 1, start, stop, stage, state, None, "2026-11-20T21:33:52Z")


def test_skeletons_of_several_labels_and_in_groups_are_all_taken():
    mouse = skeleton_shape(1, 1, 10, [(5, 6), (7, 8)], group=3)
    cat = skeleton_shape(2, 2, 20, [(50, 60)], group=3)
    task = pull_task(Server([mouse, cat]), 1, None, Finished.ACCEPTED)
    found = {one.corrected.category: one.corrected.xy.tolist() for one in task.frames[0].instances}
    assert task.skeletons["mouse"].edges == PAIR.edges
    assert found == {"mouse": [[5, 6], [7, 8]], "cat": [[50, 60]]}
    assert task.notes == ()


def test_everything_else_is_named():
    box = {"id": 3, "type": "rectangle", "label_id": 9, "frame": 0, "group": 0}
    ellipse = {"id": 4, "type": "ellipse", "label_id": 1, "frame": 0, "group": 0}
    server = Server([box, box, ellipse], tracks=[{"label_id": 1}], tags=[{"label_id": 2}])
    notes = " | ".join(pull_task(server, 1, None, Finished.ACCEPTED).notes)
    assert "2 × rectangle of label ball" in notes
    assert "1 × ellipse of label mouse" in notes
    assert "1 × track of label mouse" in notes
    assert "1 × tag of label cat" in notes


def test_a_frame_in_two_jobs_is_finished_when_both_are():
    server = Server([skeleton_shape(1, 2, 20, [(50, 60)], frame=1)])
    server.all_jobs = [job(1, 0, 1), job(2, 1, 1, state="in progress")]
    assert [frame.name for frame in pull_task(server, 1, None, Finished.ACCEPTED).frames] == ["f0.jpg"]
    everything = pull_task(server, 1, None, Finished.ALL).frames
    assert [frame.finished for frame in everything] == [True, False]


def test_a_joint_that_somebody_removed_is_not_labelled():
    shape = skeleton_shape(1, 1, 10, [(5, 6), (7, 8)])
    del shape["elements"][0]
    (frame, _) = pull_task(Server([shape]), 1, None, Finished.ACCEPTED).frames
    assert frame.instances[0].corrected.visibility.tolist() == [0, 2]
    assert frame.instances[0].corrected.bbox_xyxy.tolist() == [7, 8, 7, 8]
