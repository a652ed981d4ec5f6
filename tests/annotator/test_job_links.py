"""Pages say where a frame is in CVAT, as soon as it is there."""

import pytest

from annotator.change_rows import read_changes
from annotator.job_links import job_address, job_links, pulled_links
from annotator.report import REPORT_FILE, Tile, contact_sheet, write_page
from cvat_export.errors import CvatExportError
from tests.cvat_export.cvat_datasets import finish_all, person, pull, push, write_out
from trainers.image_files import ImageRef

PEOPLE = [[person(40, 30)], [], [person(90, 30)]]


@pytest.fixture
def out(tmp_path):
    """A dataset of proposals with a page."""
    folder = write_out(tmp_path / "out", PEOPLE)
    tiles = [Tile("report_files/x.jpg", f"frame_{number:03}.jpg") for number in range(4)]
    write_page(folder / REPORT_FILE, "Proposals", "", {}, [contact_sheet("Images", tiles)])
    return folder


def test_the_address_is_that_of_cvats_page():
    assert job_address("https://cvat.example.org/", 3, 7, 52) == "https://cvat.example.org/tasks/3/jobs/7?frame=52"


def test_a_push_links_the_page_of_what_it_pushed(server, out):
    assert push(out, "--segment-size", 2)[0] == 0
    once = (out / REPORT_FILE).read_text()
    (task,) = server.state.tasks
    first, second = sorted(server.state.jobs)
    for frame, job in ((0, first), (1, first), (2, second)):
        link = f'<a href="{server.url}/tasks/{task}/jobs/{job}?frame={frame}">job {job} in CVAT</a>'
        assert f'<nav data-of="frame_{frame:03}.jpg">{link}</nav>' in once
    assert '<nav data-of="frame_003.jpg"></nav>' in once  # it is not on the server
    assert push(out, "--segment-size", 2)[0] == 0
    assert (out / REPORT_FILE).read_text() == once


def test_a_dry_run_leaves_the_page_alone(server, out):
    before = (out / REPORT_FILE).read_bytes()
    push(out, "--dry-run")
    assert (out / REPORT_FILE).read_bytes() == before


def test_a_page_that_was_deleted_is_not_missed(server, out):
    (out / REPORT_FILE).unlink()
    assert push(out)[0] == 0
    assert not (out / REPORT_FILE).exists()


def test_a_push_stays_done_where_the_jobs_cannot_be_read(server, out, monkeypatch):
    def fail(server, record):
        raise CvatExportError("jobs: got 500")

    monkeypatch.setattr("annotator.job_links.pushed_links", fail)
    code, _, stderr = push(out)
    assert code == 0 and "its pictures got no links to CVAT: jobs: got 500" in stderr


def test_what_was_pulled_is_linked_wherever_its_labels_are_read(server, out, tmp_path):
    push(out)
    finish_all(server)
    pull(tmp_path / "corrected")
    rows = {row["file_name"]: row for row in read_changes(tmp_path / "corrected")}
    assert rows["frame_002.jpg"]["address"].endswith("?frame=2")
    files = {
        "ours": ImageRef(tmp_path / "corrected" / "images" / "frame_002.jpg"),
        "elsewhere": ImageRef(tmp_path / "frame_002.jpg"),
        "in a zip": ImageRef(tmp_path / "corrected.zip", "images/frame_002.jpg"),
    }
    links = pulled_links(files)
    assert links == {"ours": job_links(rows["frame_002.jpg"]), "elsewhere": (), "in a zip": ()}


def test_a_frame_that_came_out_of_a_file_has_no_link():
    assert job_links({"job": None}) == () and job_links({"job": None, "address": None}) == ()
