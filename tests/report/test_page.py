from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from prunus.errors import HistoryError, UnknownNameError
from prunus.history.store import History
from prunus.report import page
from prunus.report.evidence import gather
from prunus.selection.statistics import mean_interval

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Outline(HTMLParser):
    """Text and tags, and whether every tag that opens also closes."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text, self.wrong = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)


def outline(html):
    parsed = Outline()
    parsed.feed(html)
    return parsed


def text_of(html):
    return " ".join(" ".join(outline(html).text).split())


def assert_sound(html):
    parsed = outline(html)
    assert parsed.wrong == []
    assert parsed.open == []
    identifiers = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for tag, attributes in parsed.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    assert "@import" not in html
    assert re.search(r"url\((?!#)", html) is None


def test_the_page_answers_the_question(history, html):
    text = text_of(html)
    choice = history.restricted_to().best("accuracy", sparsity_at_least=0.9, worst_class_drop_at_most=0.2)
    interval = choice.reported["accuracy"]
    assert text.startswith("Which technique finds the smaller network?")
    assert "2 techniques × 3 seeds × 3 sparsities · 21 trainings" in text
    assert "magnitude at 90 % sparsity has the highest validation accuracy" in text
    assert "a sparsity of at least 90 % and a worst-class drop of at most 20 points" in text
    assert f"the shipped model (seed {choice.replicate.seed}) predicts" in text
    assert f"over 3 seeds {100 * interval.mean:.1f} % ± {100 * (interval.high - interval.mean):.1f}; dense" in text
    assert re.search(
        r"packed file of 134\.1 KB is 7\.8 times smaller than the dense model's plain file of 1,042 KB", text
    )
    assert text.count("The choice was made on the validation split") == 1


def test_the_sections_stand_in_the_order_of_the_questions(html):
    heads = re.findall(r'<h2 id="(\w+)"', html)
    assert heads == [
        "verdict", "accuracy", "comparisons", "classes", "layers", "sizes", "runs", "environment", "recipe",
    ]  # fmt: skip
    assert_sound(html)


def test_the_page_is_the_same_every_time(history, html):
    assert page.render(history) == html


def test_every_picture_has_a_title_and_a_table(html):
    parsed = outline(html)
    plots = [attributes for tag, attributes in parsed.tags if tag == "svg" and attributes.get("role") == "img"]
    identifiers = {attributes.get("id") for _, attributes in parsed.tags}
    assert {plot["class"] for plot in plots} == {"plot plot-wide", "plot plot-medium", "plot plot-narrow"}
    assert all(set(plot["aria-labelledby"].split()) <= identifiers for plot in plots)
    tables_found = [tag for tag, _ in parsed.tags if tag == "table"]
    captions = [tag for tag, _ in parsed.tags if tag == "caption"]
    assert len(tables_found) == len(captions) > 5


def test_names_from_users_are_harmless(make):
    evil = ['<script>alert("x")</script>', "\"'><img src=x onerror=alert(1)>", "{{ 7 * 7 }} \x01 & \u202e", "技術" * 30]
    history = make.history(
        techniques=evil, names=("<b>", "猫", "كلب", "собака"), title="</title><script>alert(2)</script>"
    )
    html = page.render(history)
    assert_sound(html)
    assert html.count("<script") == 1
    assert "<img" not in html
    assert evil[0] in text_of(html)
    assert "{{ 7 * 7 }}" in text_of(html)


@pytest.mark.parametrize(
    "other",
    [
        {"techniques": ["only"], "seeds": [7], "sparsities": [0.9]},
        {"techniques": [f"{index:02} " + "long name " * 5 + "abcdefg" for index in range(12)], "seeds": [0, 1]},
        {"techniques": [f"technique {index}" for index in range(40)], "seeds": [0], "sparsities": [0.5]},
        {"stop": 0},
        {"seeds": []},
        {"techniques": []},
        {"sparsities": [0.001], "recipe": {"choose": {}}},
        {"names": ["one"]},
        {"recipe": {"choose": {"by": "loss"}, "technique": None, "training": {}, "task": {}}},
    ],
    ids=[
        "one of all",
        "twelve long names",
        "forty",
        "no run",
        "no seed",
        "only dense",
        "hardly pruned",
        "class",
        "bare",
    ],
)
def test_every_shape_of_experiment_has_a_page(make, other):
    html = page.render(make.history(**other))
    assert_sound(html)
    assert "Traceback" not in html
    assert "Undefined" not in html


def test_a_killed_experiment_says_what_is_missing(make):
    text = text_of(page.render(make.history(stop=4)))
    assert "This experiment is not complete: 1 run stopped half way and 4 runs not begun." in text
    assert "1 of 3" in text
    assert "2 techniques × 3 seeds × 3 sparsities" in text


def test_a_complete_experiment_says_nothing_of_the_kind(html):
    assert "not complete" not in text_of(html)


def test_where_nothing_qualifies_the_page_says_why(make):
    history = make.history(recipe={"choose": {"by": "accuracy", "sparsity_at_least": 0.999}})
    text = text_of(page.render(history))
    assert "Nothing was chosen: no candidate satisfies sparsity ≥ 0.999; the nearest is" in text
    assert "chosen for highest" not in text


def test_problems_of_the_history_are_shown(make):
    history = make.history()
    path = next((history.folder / "runs").rglob("states/*.json"))
    path.write_text("{")
    text = text_of(page.render(history))
    assert "Problems of the history" in text
    assert path.name in text


def test_the_table_of_the_chart_has_the_charts_points_once(history, html):
    rows = re.findall(r"<tr>.*?</tr>", html[html.index("<details>") : html.index("</details>")])
    assert len(rows) == 1 + 1 + 2 * 3  # head, dense, two techniques
    interval = mean_interval(gather(history, None).at("random", 0.98).reporting("accuracy"))
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", rows[-1])
    expected = ["98 %", "2.00 %", *(f"{100 * one:.1f} %" for one in (interval.mean, interval.low, interval.high)), "3"]
    assert [cell.replace("\u00a0", " ") for cell in cells] == expected


def test_the_dense_model_may_be_the_choice(make):
    html = page.render(make.history(recipe={"choose": {"by": "loss", "accuracy_drop_at_most": -0.0}}, sparsities=[0.9]))
    assert "dense at 0 % sparsity has the lowest validation loss" in text_of(html)
    assert "it is the model that the others are measured against" in text_of(html)
    assert_sound(html)


def test_an_older_experiment_can_be_asked_for(make):
    history = make.history(techniques=[])
    latest = history.experiment()
    older = replace(latest, id="older", title="And before?", created="2020-01-01T00:00:00+00:00")
    history.record(older)
    assert text_of(page.render(history)).startswith(latest.title)
    assert text_of(page.render(history, "older")).startswith("And before?")
    with pytest.raises(UnknownNameError):
        page.render(history, "nowhere")


def test_a_history_without_an_experiment_has_no_page(tmp_path):
    with pytest.raises(HistoryError, match="holds no experiment"):
        page.render(History(tmp_path / "empty"))


def test_the_page_is_written_where_asked(history, html, tmp_path):
    path = page.write_report(history, str(tmp_path / "new" / "report.html"))
    assert path == tmp_path / "new" / "report.html"
    data = path.read_bytes()
    assert data.decode() == html
    assert len(data) < 600_000


def test_the_page_of_tickets_is_small_too(tickets):
    assert len(page.render(tickets).encode()) < 600_000


def test_a_place_that_cannot_be_written_is_named(history, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "folder", tmp_path / "file" / "report.html"):
        with pytest.raises(HistoryError, match=re.escape(str(path))):
            page.write_report(history, path)
    assert (tmp_path / "file").read_text() == "mine"
    assert [one.name for one in (tmp_path / "folder").iterdir()] == []


def test_the_policy_lets_in_nothing_but_the_pages_own_script(html):
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(
        attributes["content"]
        for tag, attributes in outline(html).tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("shown", ["history", "tickets"])
def test_rendering_needs_no_torch_and_importing_no_chart_library(request, shown, tmp_path):
    folder = request.getfixturevalue(shown).folder
    program = (
        "import json, sys\n"
        "from prunus.history.store import History\n"
        "from prunus.report.page import write_report\n"
        "before = set(sys.modules)\n"
        "write_report(History(sys.argv[1]), sys.argv[2])\n"
        "heavy = ('torch', 'jinja2', 'scipy', 'vl_convert')\n"
        "print(json.dumps([[one for one in heavy if one in names] for names in (before, sys.modules)]))\n"
    )
    arguments = [sys.executable, "-c", program, str(folder), str(tmp_path / "report.html")]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=True)
    before, after = json.loads(answer.stdout)
    assert before == []
    assert "torch" not in after
    assert "vl_convert" in after


def test_one_seed_is_said_to_have_no_interval(make):
    text = text_of(page.render(make.history(seeds=[3])))
    assert "One seed: no interval." in text
    assert "One seed: no band." in text
