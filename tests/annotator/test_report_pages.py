"""Every page in a real browser: what its sheet can do, in both colour schemes, on narrow screens, with 10,000."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from annotator.cli import group
from annotator.curve_report import CurveRow, write_curve_report
from annotator.report import PICTURES, Tile, contact_sheet, link_tiles, section, table, write_page
from annotator.report_charts import COLOURS, charts, curves, histogram, stacked_bars
from cvat_export.atomic import write_bytes
from frame_tools.images import read_image
from tests.annotator.browser import running_browser
from trainers.metrics.bootstrap import Interval

SCHEMES = ("light", "dark")
TEXT_CONTRAST, SHAPE_CONTRAST = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11
MOST_NEAR = 300  # tiles, of however many, that may be in the page at a time
TOLD = "body *:not(script, style, noscript, option, .legend b, svg, svg :not(text))"


@pytest.fixture(scope="module")
def browser(chromium, chromedriver):
    with running_browser(chromium, chromedriver) as running:
        yield running


def write_sheet(folder: Path, count: int) -> Path:
    """A page with so many tiles of 12 videos, every third of which is doubtful."""
    (folder / PICTURES).mkdir()
    tiles = []
    for number in range(count):
        pixels = np.full((30, 40, 3), (number * 7 % 255, 90, 160), np.uint8)
        write_bytes(folder / PICTURES / f"{number}.png", cv2.imencode(".png", pixels)[1].tobytes())
        tiles.append(
            Tile(
                f"{PICTURES}/{number}.png",
                f"image {number}",
                (f"line {number}",),
                {"video": f"{number % 12}.mp4", "doubt": ("blurry", "dark") if number % 3 == 0 else ()},
                {"score": number / count} if number else {},
                (("job 7 in CVAT", f"https://cvat.example.org/tasks/1/jobs/7?frame={number}"),) if number == 1 else (),
            )
        )
    sections = [
        section("Numbers", table(("a", "b"), [(1, "<b>")])),
        charts(*drawn_charts()),
        contact_sheet("Images", tiles, lead="A sentence."),
    ]
    write_page(folder / "report.html", "A <title>", "lead & more", {"images": count}, sections)
    return folder / "report.html"


def drawn_charts():
    parts = [f"part {number}" for number in range(len(COLOURS))]
    lines = {part: ([0, 1, 2], [0.1 * n, 0.5, 0.9]) for n, part in enumerate(parts)}
    return (
        histogram("score", [0.1, 0.9]),
        curves("lines", lines, "x", "y"),
        stacked_bars("bars", parts, {"row": [1.0] * len(parts)}),
    )


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    return write_sheet(tmp_path_factory.mktemp("sheet"), 400)


def test_tiles_are_found_by_words_facets_and_keys_together(browser, sheet):
    browser.open(sheet)
    assert browser.count == "400 of 400" and browser.titles[:2] == ["image 0", "image 1"]
    browser.set("find", "39 LINE")
    assert browser.titles == [f"image {n}" for n in (39, 139, 239, 339, *range(390, 400))]
    browser.set("find", "")
    browser.set("video", "6.mp4")
    browser.set("doubt", "dark")
    assert browser.count == "33 of 400" and browser.titles[:2] == ["image 6", "image 18"]
    browser.set("least", "0.5")
    browser.set("most", "0.6")
    assert browser.titles == ["image 210", "image 222", "image 234"]
    browser.set("order", "-score")
    assert browser.titles == ["image 234", "image 222", "image 210"]


def test_a_tile_without_a_key_is_last_in_both_orders_and_in_no_range(browser, sheet):
    browser.open(sheet)
    for order in ("score", "-score"):
        browser.set("find", "image")
        browser.set("order", order)
        browser.set("video", "0.mp4")
        assert browser.titles[-1] == "image 0"
    browser.set("least", "-1")
    assert browser.count == "33 of 400"


def test_the_address_keeps_what_is_shown_and_clear_forgets_it(browser, sheet):
    browser.open(sheet, fragment="#video=3.mp4&order=-score&unknown=1")
    assert browser.count == "34 of 400" and browser.titles[0] == "image 399"
    browser.set("find", "line 1")
    assert "find=line+1" in browser.run("return location.hash") and "video=3.mp4" in browser.run("return location.hash")
    browser.run("document.querySelector('form button[type=reset]').click()")
    browser.wait("document.querySelector('output').textContent === '400 of 400'")
    assert browser.run("return location.hash") in ("", "#", "#unknown=1")


def test_each_choice_says_how_many_it_finds(browser, sheet):
    browser.open(sheet)
    words = browser.run("return [...document.querySelector('[name=doubt]').options].map(one => one.textContent)")
    assert words == ["all", "blurry (134)", "dark (134)"]
    videos = browser.run("return [...document.querySelector('[name=video]').options].map(one => one.value)")
    assert videos[1:4] == ["0.mp4", "1.mp4", "2.mp4"]


def test_only_tiles_near_the_view_are_in_the_page_wherever_it_is_scrolled(browser, sheet):
    browser.open(sheet, width=700)
    assert len(browser.titles) < MOST_NEAR
    browser.run("scrollTo(0, document.documentElement.scrollHeight)")
    browser.wait("[...document.querySelectorAll('strong')].some(one => one.textContent === 'image 399')")
    assert "image 0" not in browser.titles
    browser.run("scrollTo(0, 0)")
    browser.wait("document.querySelector('.sheet strong')?.textContent === 'image 0'")


def test_the_sheet_works_with_keyboard_and_screen_reader(browser, sheet):
    browser.open(sheet)
    unnamed = browser.run(
        "return [...document.querySelectorAll('a, input, select, button')].filter(one => one.getClientRects().length &&"
        " !(one.labels?.length || one.textContent.trim() || one.querySelector('img')?.alt)).map(one => one.outerHTML)"
    )
    assert unnamed == []
    assert browser.run("return document.querySelector('.sheet figure').ariaSetSize") == "400"
    assert browser.run("return document.querySelectorAll('.sheet figure')[2].getAttribute('aria-posinset')") == "3"
    assert browser.run("return document.querySelector('form output').tagName") == "OUTPUT"  # polite of itself
    browser.run("document.querySelectorAll('.sheet figure a')[3].focus(); scrollTo(0, 5000)")
    browser.run("scrollTo(0, document.documentElement.scrollHeight)")
    browser.wait("[...document.querySelectorAll('strong')].some(one => one.textContent === 'image 399')")
    assert browser.run("return document.activeElement.tagName") == "A"  # what has the focus is never taken away


def test_without_script_all_tiles_are_there_and_no_tools(chromium, chromedriver, sheet):
    with running_browser(chromium, chromedriver, script=False) as plain:
        plain.open(sheet)
        source = plain.driver.find_elements("css selector", "noscript .tiles figure")
        assert len(source) == 400 and source[0].is_displayed()
        assert not plain.driver.find_element("css selector", "form").is_displayed()


def test_links_can_be_given_to_a_written_page_again_and_again(browser, tmp_path):
    page = write_sheet(tmp_path, 5)
    links = {"image 3": (("job 12 in CVAT", "https://cvat.example.org/tasks/2/jobs/12?frame=3&x"),)}
    link_tiles(page, links)
    once = page.read_bytes()
    link_tiles(page, links)
    assert page.read_bytes() == once
    browser.open(page)
    found = browser.run("return [...document.querySelectorAll('.sheet nav a')].map(one => [one.textContent, one.href])")
    assert found == [["job 12 in CVAT", "https://cvat.example.org/tasks/2/jobs/12?frame=3&x"]]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_and_charts_stand_out(browser, sheet, scheme):
    browser.open(sheet, scheme)
    assert browser.faint(TOLD, TEXT_CONTRAST) == []
    assert browser.faint("svg rect, svg circle, svg polyline, .legend b", SHAPE_CONTRAST) == []
    assert browser.faint(TOLD, 22) != []  # more than there can be: the measure does find


@pytest.mark.slow
def test_ten_thousand_open_at_once(browser, tmp_path):
    page = write_sheet(tmp_path, 10_000)
    browser.open(page)
    browser.wait("[...document.images].filter(one => one.complete && one.naturalWidth).length > 7")
    painted, tiles = browser.run("return [performance.now(), document.querySelectorAll('figure').length]")
    assert painted < 3000 and tiles < MOST_NEAR  # about 600 ms where nothing else runs
    browser.wait("document.readyState === 'complete'")
    assert len([address for address in browser.fetched() if address.endswith(".png")]) < MOST_NEAR
    took = browser.run(
        "const control = document.querySelector('[name=find]'); const start = performance.now();"
        "control.value = 'line 99'; control.dispatchEvent(new Event('input', { bubbles: true }));"
        "document.body.offsetHeight; return performance.now() - start"
    )
    assert browser.count == "280 of 10000" and took < 500  # about 40 ms


@pytest.fixture(scope="module")
def pages(shared_data, tmp_path_factory):
    """Every kind of page, made from a real video by the commands; its labels are corrected in a stand-in for CVAT."""
    from demo.cvat_standin import StandInServer

    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch, StandInServer() as server:
        patch.chdir(folder)
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("CVAT_HOST", server.url)
        patch.setenv("CVAT_ACCESS_TOKEN", server.token)
        videos = [shared_data / "videos" / f"{name}.mp4" for name in ("dancer_portrait", "variable_frame_rate")]
        _run("choose-frames", *videos, "-o", "frames", "-n", 12, "--report")
        _run("preannotate", "frames", "-o", "proposals")
        _run("push", "proposals", "--project", "Dance", "--segment-size", 4)
        _correct(server)
        _run("pull", "--project", "Dance", "-o", "corrections")
        _run("acceptance", "corrections", "-o", "acceptance")
        _run("check", "corrections", "-o", "check", codes=(0, 3))
        _run("evaluate", "--predicted", "proposals", "--data", "corrections", "-o", "evaluation")
        _run("select", "frames", "-n", 6, "--strategy", "hybrid", "-o", "selection")
        curve = [
            CurveRow(n, 100 * n, Interval(0.5 + n / 10, 0.4 + n / 10, 0.6 + n / 10), None, True, "it is better")
            for n in (1, 2, 3)
        ]
        (folder / "curve").mkdir()
        write_curve_report(folder / "curve" / "report.html", curve, None, "go on")
        yield folder, server.url


KINDS = (
    "frames", "proposals", "corrections", "acceptance", "check", "evaluation", "selection", "curve",
)  # fmt: skip


def _run(command, *arguments, codes=(0,)):
    result = CliRunner().invoke(group, [command, *map(str, arguments)])
    assert result.exit_code in codes, f"{command}: {result.output}\n{result.exception!r}"


def _correct(server):
    """One joint moved far, one skeleton deleted, one added; then all jobs are accepted."""
    (task,) = server.state.tasks
    shapes = server.state.shapes(task)
    server.state.edit_joint(task, shapes[0]["id"], "left_wrist", 60, 40)
    server.state.delete_shape(task, shapes[1]["id"])
    for job in list(server.state.jobs):
        server.state.set_job(job, state="completed", stage="acceptance")


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_page_in_both_colour_schemes(browser, pages, tmp_path, kind, scheme):
    page = pages[0] / kind / "report.html"
    browser.open(page, scheme)
    browser.run("document.querySelector('[data-sheet]')?.scrollIntoView()")
    if kind not in ("acceptance", "curve"):
        browser.wait("document.querySelector('.sheet img')")
        browser.wait("[...document.querySelectorAll('.sheet img')].slice(0, 4).every(one => one.complete)")
    screenshot = tmp_path / f"{kind}-{scheme}.png"
    assert browser.driver.save_screenshot(str(screenshot))
    corner = read_image(screenshot).pixels[5, 5].mean()
    assert corner > 200 if scheme == "light" else corner < 60
    assert browser.faint(TOLD, TEXT_CONTRAST) == []
    assert browser.faint("svg .bar, svg rect[fill^='var(--series'], .legend b", SHAPE_CONTRAST) == []
    assert [address for address in browser.fetched() if not address.startswith(("file:", "data:", "about:"))] == []
    assert browser.complaints() == []


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.parametrize("kind", KINDS)
def test_no_page_is_wider_than_a_telephone(browser, pages, kind):
    browser.open(pages[0] / kind / "report.html", width=360)
    assert browser.run("return document.documentElement.scrollWidth") <= 360


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.parametrize("kind", ["proposals", "corrections", "check", "evaluation"])
def test_frames_are_linked_to_their_jobs(browser, pages, kind):
    folder, url = pages
    browser.open(folder / kind / "report.html")
    browser.run("document.querySelector('[data-sheet]').scrollIntoView()")
    browser.wait("document.querySelector('.sheet figure')")
    found = browser.run(
        "return [...document.querySelectorAll('.sheet figure')].map(one => one.querySelector('nav a')?.href)"
    )
    assert found and all(address and address.startswith(f"{url}/tasks/") for address in found)
    assert all("/jobs/" in address and "?frame=" in address for address in found)


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("kind", "tools"),
    [
        ("frames", ["find", "video", "key", "least", "most", "order"]),
        ("proposals", ["find", "video", "subjects", "key", "least", "most", "order"]),
        ("corrections", ["find", "video", "fate", "key", "least", "most", "order"]),
        ("check", ["find"]),
        ("evaluation", ["find", "video", "key", "least", "most", "order"]),
        ("selection", ["find", "video", "strategy", "signal", "key", "least", "most", "order"]),
    ],
)
def test_sheets_have_the_same_tools_in_the_same_order(browser, pages, kind, tools):
    browser.open(pages[0] / kind / "report.html")
    names = browser.run("return [...document.querySelector('form').elements].map(one => one.name).filter(Boolean)")
    assert [name for name in names if name in tools] == tools
