"""The page in a real browser: what it draws, what it complains about, what it asks the network for."""

from __future__ import annotations

import functools
import html
import itertools
import json
import re
import shutil
import subprocess

import pytest

from prunus.report.page import write_report
from prunus.report.palette import DARK_SERIES, LIGHT_SERIES

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
]  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH")
SCRIPT = """<script>
document.querySelectorAll("details").forEach((one) => { one.open = true; });
const button = document.querySelectorAll(".sortable button")[2];
button.focus(); button.click();
const column = [...document.querySelectorAll(".sortable tbody tr")].map((row) => Number(row.cells[2].dataset.value));
const plots = [...document.querySelectorAll(".plot")].filter((plot) => plot.getBoundingClientRect().width > 0);
const boxes = [...plots[0].querySelectorAll("text")].map((one) => [one.textContent, one.getBoundingClientRect()]);
const stroke = getComputedStyle(plots[0].querySelector('[style*="--series-0"]'));
parent.document.body.dataset.found = JSON.stringify({
  width: innerWidth, scrolls: document.documentElement.scrollWidth, column,
  sorted: button.closest("th").getAttribute("aria-sort"), focused: document.activeElement === button,
  plots: plots.map((plot) => plot.getAttribute("class")), colours: [stroke.fill, stroke.stroke],
  boxes: boxes.map(([text, box]) => [text, box.left, box.top, box.right, box.bottom]),
  font: Math.min(...boxes.map(([, box]) => box.height)),
  pictures: [...document.querySelectorAll("img")].map((one) => [one.naturalWidth, one.width, one.height]),
  places: [...document.querySelectorAll(".ranked tbody tr")].map((row) => [...row.cells].map((cell) => {
    const box = cell.getBoundingClientRect();
    return [cell.className, box.left, box.top, box.right, box.bottom];
  })),
});
</script></body>"""


def opened(page, folder, *flags):
    """The page's DOM, what the script found, what the console said, and the addresses that the page asked for."""
    log = folder / "network.json"
    arguments = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}"]
    arguments += ["--window-size=1400,2000", "--dump-dom", page.as_uri()]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60)
    console = [line for line in answer.stderr.splitlines() if "CONSOLE" in line]
    found = re.search(r'data-found="([^"]*)"', answer.stdout)
    # What the browser asks for on its own behalf has no origin.
    asked = re.findall(r'"initiator":"([^"]*)".*"url":"([^"]*)"', log.read_text(errors="replace"))
    addresses = [address for origin, address in asked if origin != "not an origin"]
    return answer.stdout, json.loads(found[1].replace("&quot;", '"')) if found else None, console, addresses


def framed(path, width):
    """The page in a frame of that width (a window cannot be narrow), with a script that its policy would not let in."""
    inner = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text())
    inner = html.escape(inner.replace("</body>", SCRIPT))
    frame = f'<iframe style="width:{width}px;height:3000px;border:0;color-scheme:light dark" srcdoc="{inner}"></iframe>'
    outer = path.with_name(f"framed-{width}.html")
    outer.write_text(f'<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark">{frame}')
    return outer


def test_the_page_opens_without_a_complaint_or_a_request(history, tmp_path):
    dom, _, console, addresses = opened(write_report(history, tmp_path / "report.html"), tmp_path)
    assert console == []
    assert addresses == []
    for text in ("magnitude", "random", "dense", "weights remaining (log scale)", "fc2", "90%", "Recipe"):
        assert re.search(rf">[^<]*{re.escape(text)}", dom), text


def test_a_page_that_asks_for_something_would_be_noticed(tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<!doctype html><img src="http://127.0.0.1:9/image.png"><script>nothing.here</script>')
    _, _, console, addresses = opened(page, tmp_path)
    assert addresses == ["http://127.0.0.1:9/image.png"]
    assert any("nothing is not defined" in line for line in console)


FEW = ["magnitude, global, rewound", "magnitude, layerwise, fine-tuned", *"abcdef"]
MANY = [f"large-initial-large-final-{index}, channel, global, one-shot, finetune" for index in range(14)]


@pytest.fixture(scope="module", params=[FEW, MANY], ids=["few", "many"])
def found(request, make, tmp_path_factory):
    """What the script finds at a width, in light or in dark."""
    folder = tmp_path_factory.mktemp("browser")
    names = request.param
    page = write_report(make.history(techniques=names, sparsities=[0.5, 0.7]), folder / "report.html")

    @functools.cache
    def look(width, dark=False):
        scheme = f"--blink-settings=preferredColorScheme={int(not dark)}"
        _, answer, console, _ = opened(framed(page, width), folder, scheme)
        assert console == []
        return answer

    return look


@pytest.mark.parametrize(("width", "layout"), [(1200, "wide"), (700, "medium"), (375, "narrow")])
def test_each_width_has_its_drawing_and_nothing_runs_over(found, width, layout):
    seen = found(width)
    assert seen["width"] == width
    assert seen["scrolls"] <= width
    assert set(seen["plots"]) == {f"plot plot-{layout}"}
    assert seen["font"] >= 9
    overlapping = [
        (one[0], other[0])
        for one, other in itertools.combinations(seen["boxes"], 2)
        if min(one[3], other[3]) - max(one[1], other[1]) > 1 and min(one[4], other[4]) - max(one[2], other[2]) > 2
    ]
    assert overlapping == []
    assert max(box[3] for box in seen["boxes"]) <= width


@pytest.mark.parametrize(("width", "layouts"), [(1200, "wide half"), (700, "medium half"), (375, "narrow")])
def test_the_page_of_tickets_fits_each_width_and_shows_its_pictures(tickets, tmp_path, width, layouts):
    page = write_report(tickets, tmp_path / "report.html")
    _, seen, console, _ = opened(framed(page, width), tmp_path)
    assert console == []
    assert seen["scrolls"] <= width
    assert set(seen["plots"]) == {f"plot plot-{layout}" for layout in layouts.split()}
    assert len(seen["pictures"]) == 2 * 4  # of two tickets: the inputs and three layers
    assert all(min(picture) > 0 and picture[1] <= 200 for picture in seen["pictures"])


def test_the_policy_lets_the_pictures_in(tickets, tmp_path):
    dom, _, console, addresses = opened(write_report(tickets, tmp_path / "report.html"), tmp_path)
    assert console == addresses == []
    assert "data:image/png;base64," in dom


@pytest.mark.parametrize("width", [1200, 920, 700, 375])
def test_the_parts_of_a_place_do_not_overlap_and_its_interval_has_room(found, width):
    for place in found(width)["places"]:
        for one, other in itertools.combinations(place, 2):
            across = min(one[3], other[3]) - max(one[1], other[1])
            down = min(one[4], other[4]) - max(one[2], other[2])
            assert min(across, down) <= 1
        assert max(right for _, _, _, right, _ in place) <= width
        interval = next(cell for cell in place if cell[0].startswith("range"))
        assert interval[3] - interval[1] >= 120
        assert interval[4] - interval[2] >= 15


def test_a_header_sorts_by_keyboard_and_says_so(found):
    seen = found(1200)
    assert seen["focused"]
    assert seen["sorted"] == "ascending"
    assert seen["column"] == sorted(seen["column"])


@pytest.mark.parametrize(("dark", "colours"), [(False, LIGHT_SERIES), (True, DARK_SERIES)])
def test_the_drawing_follows_light_and_dark(found, dark, colours):
    red, green, blue = (int(colours[0][start : start + 2], 16) for start in (1, 3, 5))
    assert f"rgb({red}, {green}, {blue})" in found(1200, dark)["colours"]
