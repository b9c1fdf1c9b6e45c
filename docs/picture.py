"""Take the picture of the README: the first page of the site of the synthetic sample, in site/.

Needs Chromium.
"""

from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.python.chromium import ARGUMENTS, CHROMIUM

PICTURE = Path(__file__).with_name("findings.png")
WINDOW = {"width": 1220, "height": 940}
SCALE = 0.78  # of its points, so that the picture is small

with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    page = browser.new_page(viewport=WINDOW, device_scale_factor=SCALE, locale="en-US")
    page.goto(Path("site/index.html").resolve().as_uri())
    # A site of another set has no picture here.
    page.wait_for_selector("html[data-drawn=all][data-synthetic=true]", state="attached")
    page.screenshot(path=PICTURE)
    browser.close()
