"""The page of a review in a real browser: worst first, filtered by what people tagged; and what is refused."""

import subprocess

import pytest
from click.testing import CliRunner

from annotator.cli import group
from annotator.review.tags import TaggedFrame, tag_file
from tests.annotator.review.folders_to_review import frame_name, person, swapped, write_proposed

NAMES = [frame_name(number) for number in range(3)]


@pytest.fixture
def folders(tmp_path):
    one = person(40, 30)
    write_proposed(tmp_path / "truth", {NAMES[0]: (one,), NAMES[1]: (one,), NAMES[2]: ()})
    out = write_proposed(tmp_path / "out", {NAMES[0]: (one,), NAMES[1]: (swapped(one),), NAMES[2]: ()})
    tag_file(out).write([TaggedFrame(NAMES[1], ("hard",), "now")])
    return tmp_path


def run(*words):
    return CliRunner().invoke(group, ["review", *map(str, words)])


def test_the_worst_is_first_and_tags_are_filters(folders, chromium):
    page = folders / "page" / "report.html"
    result = run(folders / "out", "--truth", folders / "truth", "--export", folders / "page")
    assert (result.exit_code, result.stdout) == (0, f"{page}\n")
    text = page.read_text("utf-8")
    assert text.index(NAMES[1]) < text.index(NAMES[0]) < text.index(NAMES[2])
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command = [chromium, *flags, f"--user-data-dir={folders / 'profile'}", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "hard" in dom and "inversion" in dom and "lowest OKS 1.00" in dom
    assert len(list((folders / "page" / "report_files").iterdir())) == 3


def test_another_page_is_not_overwritten(folders):
    (folders / "page").mkdir()
    (folders / "page" / "thesis.txt").write_text("mine")
    result = run(folders / "out", "--export", folders / "page")
    assert result.exit_code == 1 and "holds no earlier page" in str(result.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--export", "page", "--collect"], "different things to do"),
        (["--dry-run"], "--dry-run goes with --collect"),
    ],
)
def test_misuse_is_explained(folders, words, said):
    result = run(folders / "out", *words)
    assert result.exit_code == 2 and said in result.output
