"""Chromium looking at a page from the disk: what it drew, what it fetched, what it complained of."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
)

# Of every text and shape: the contrast of its colour with the first background behind it (WCAG 2.2, 1.4.3).
_CONTRASTS = """
const parse = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { rgb: [r, g, b], a }; };
const light = ({ rgb }) => rgb.map(v => v / 255).map(v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
const behind = element => {
  for (let one = element; one; one = one.parentElement) {
    const colour = parse(getComputedStyle(one).backgroundColor);
    if (colour.a === 1) return colour;
  }
  return parse(getComputedStyle(document.body).backgroundColor);
};
const ratio = (colour, element) => {
  const [low, high] = [light(parse(colour)), light(behind(element))].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const [select, least] = arguments;
const found = [];
for (const element of document.querySelectorAll(select)) {
  const style = getComputedStyle(element);
  const isDrawn = element instanceof SVGElement;
  const text = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join("");
  const colour = isDrawn ? (style.fill === "none" ? style.stroke : style.fill) : style.color;
  if ((!text && !isDrawn) || !element.getClientRects().length || colour === "none") continue;
  const value = ratio(colour, element);
  if (value < least) found.push([element.tagName, text, colour, value]);
}
return found;
"""


class Browser:
    """A headless Chromium. What it fetched is counted from the last `open` on."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, scheme: str = "light", width: int = 1280, fragment: str = "") -> None:
        """Show a page in a colour scheme, `width` pixels wide."""
        self.fetched()
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get("about:blank")
        self.driver.get(page.as_uri() + fragment)

    def run(self, script: str, *arguments):
        """The value that a script returns."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str):
        """The value of an expression once it holds, which is expected within ten seconds."""
        return self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            f"const look = () => {{ const value = {script}; value ? done(value) : requestAnimationFrame(look); }};"
            "look();"
        )

    def set(self, control: str, value: str) -> None:
        """Give a tool of the page's first sheet a value, as a reader does."""
        self.run(
            "const control = document.querySelector(`form [name='${arguments[0]}']`);"
            "control.value = arguments[1]; control.dispatchEvent(new Event('input', { bubbles: true }));",
            control,
            value,
        )

    @property
    def count(self) -> str:
        """What the page says of how many tiles it shows."""
        return self.run("return document.querySelector('output').textContent")

    @property
    def titles(self) -> list[str]:
        """The titles of the tiles that are in the page."""
        return self.run("return [...document.querySelectorAll('figcaption strong')].map(one => one.textContent)")

    def fetched(self) -> list[str]:
        """The addresses that were asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[str]:
        """What the console said since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def faint(self, select: str, least: float) -> list:
        """The elements whose text or shape stands out less than `least` to 1 from what is behind."""
        return self.run(_CONTRASTS, select, least)


def until(condition: Callable[[], object], what: str, seconds: float, pause: float = 0.02) -> None:
    """Wait for what a page, or a program, does in its own time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(pause)


@contextmanager
def headless(chromium: str, chromedriver: str, *flags: str, script: bool = True) -> Iterator[Any]:
    """Selenium's driver of a headless Chromium, which ends with the block. script: whether pages may run theirs."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, *flags):
        options.add_argument(flag)
    if not script:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(chromedriver))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def running_browser(chromium: str, chromedriver: str, script: bool = True) -> Iterator[Browser]:
    """A browser for pages on the disk."""
    with headless(chromium, chromedriver, "--disable-gpu", script=script) as driver:
        driver.set_script_timeout(10)
        yield Browser(driver)
