"""A page with very many pictures, in headless Chromium: how long until the first are seen, and how long a key takes.

    python -m benchmarks.pages [--tiles 10000] [--rounds 7]

Writes a page of pictures that the demo draws, 320 pixels wide, with the tools and words that the pages of the commands
have. Needs chromium and chromium-driver.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import cv2
from tqdm import tqdm

from annotator.report import PICTURES, REPORT_FILE, Tile, contact_sheet, write_page
from benchmarks.tables import markdown
from cvat_export.atomic import write_bytes
from demo.film import film
from tests.annotator.browser import Browser, running_browser

_SEEN = "[...document.images].filter(one => one.complete && one.naturalWidth).length > 7"
_TYPE = """
const control = document.querySelector("[name=find]");
const start = performance.now();
control.value = arguments[0];
control.dispatchEvent(new Event("input", { bubbles: true }));
document.body.offsetHeight;
return performance.now() - start;
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not chromium or not driver:
        parser.error("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    with TemporaryDirectory() as folder, running_browser(chromium, driver) as browser:
        page = write_sheet(Path(folder), options.tiles)
        rounds = [list(look(browser, page)) for _ in tqdm(range(options.rounds), unit="round")]
    names = ("until the first pictures are seen", "the first key in the search", "another key")
    rows = [
        [name, f"{median(taken):.0f} ({min(taken):.0f} to {max(taken):.0f})"]
        for name, taken in zip(names, zip(*rounds, strict=True), strict=True)
    ]
    print(f"{options.tiles:,} pictures; {options.rounds} rounds, the median and the range\n")
    print(markdown(["what", "ms"], rows))


def write_sheet(folder: Path, count: int) -> Path:
    """The page, with a file for each picture."""
    (folder / PICTURES).mkdir()
    tiles = []
    for number, frame in zip(range(count), tqdm(_pictures(), total=count, unit="picture"), strict=False):
        write_bytes(folder / PICTURES / f"{number:05}.jpg", frame)
        words = (f"{number / 25:.2f} s", "diverse: 0.41 from the nearest labelled or selected frame")
        facets = {"video": f"match{number % 12}.mp4", "suspect": ("bones", "scores") if number % 3 == 0 else ()}
        tiles.append(Tile(f"{PICTURES}/{number:05}.jpg", f"frame {number}", words, facets, {"score": number / count}))
    write_page(folder / REPORT_FILE, "Very many", "", {"images": count}, [contact_sheet("Images", tiles)])
    return folder / REPORT_FILE


def look(browser: Browser, page: Path) -> Iterator[float]:
    """Milliseconds of each of the things that are measured."""
    browser.open(page)
    browser.wait(_SEEN)
    yield browser.run("return performance.now()")
    browser.wait("document.readyState === 'complete'")
    yield browser.run(_TYPE, "9")
    yield browser.run(_TYPE, "99")


def _pictures() -> Iterator[bytes]:
    """JPEG files, without end: a minute of film over and over."""
    drawn = [
        cv2.imencode(".jpg", cv2.resize(frame.image, (320, 181), interpolation=cv2.INTER_AREA)[..., ::-1])[1].tobytes()
        for number, frame in enumerate(film())
        if number % 10 == 0
    ]
    while True:
        yield from drawn


if __name__ == "__main__":
    main()
