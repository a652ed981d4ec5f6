"""Pages are self-contained, escaped, and work in a real browser."""

import re
import subprocess

import numpy as np
import pytest

from annotator.report import Tile, contact_sheet, section, table, write_page
from annotator.report_charts import charts, histogram


@pytest.fixture
def page(tmp_path):
    tiles = [
        Tile(f"report_files/{n}.jpg", f"image {n}", (f"line {n}",), {"kind": "even"} if n % 2 == 0 else {})
        for n in range(6)
    ]
    sections = [
        section("Numbers", table(("a", "b"), [(1, "<b>")]), charts(histogram("score", [0.1, 0.9]))),
        contact_sheet("Images", tiles),
    ]
    write_page(tmp_path / "report.html", "A <title>", "lead & more", {"images": 6}, sections)
    return tmp_path / "report.html"


def test_nothing_comes_from_the_network(page):
    text = page.read_text("utf-8")
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
    assert "@import" not in text and "url(" not in text


def test_text_is_escaped(page):
    text = page.read_text("utf-8")
    assert "A &lt;title&gt;" in text and "&lt;b&gt;" in text and "lead &amp; more" in text


def test_a_tile_is_one_line_whatever_its_file_is_called():
    text = contact_sheet("Images", [Tile("report_files/a.jpg", 'two\nlines\r"quoted"', ("</noscript><script>",))])
    (line,) = [line for line in text.split("\n") if line.startswith("<figure")]
    assert "two&#10;lines&#13;&quot;quoted&quot;" in line and line.endswith("</figure>")
    assert text.count("</noscript>") == 1 and "<script>" not in text


def test_a_filter_is_offered_only_where_it_tells_tiles_apart():
    same = {"video": "a.mp4"}
    tiles = [Tile("a.jpg", "a", facets={**same, "fate": ("edited", "added")}), Tile("b.jpg", "b", facets=same)]
    names = re.findall(r'<(?:select|input) name="(\w+)"', contact_sheet("Images", tiles))
    assert names == ["find", "fate"]


def test_a_histogram_counts_what_lies_outside():
    counts = [int(n) for n in re.findall(r": (\d+)</title>", histogram("s", np.array([-1, 0.5, 2.0]), bins=4))]
    assert counts == [1, 0, 1, 1]


def test_the_browser_runs_its_script(page, chromium, tmp_path):
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command = [chromium, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "<output>6 of 6</output>" in dom
