from __future__ import annotations

import html
import re

import pytest

import prunus
from prunus.report.page import render

WORDS_OF_NETWORKS = ("weights", "FLOPs", "layer", "effective parameters")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The words of the page of a small experiment with a forest, but for its recipe."""
    recipe = {
        "seeds": [0, 1],
        "sparsities": [0.5],
        "task": {"data": "wine", "model": "random-forest"},
        "training": {"parameters": {"n_estimators": 3}},
        "technique": [{"method": "cost-complexity"}, {"method": "random"}],
    }
    text = render(prunus.run(recipe, history=tmp_path_factory.mktemp("history"), jobs=1))
    body = re.sub(r"<(style|script)\b.*?</\1>", "", text, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", body))


def test_the_page_of_trees_speaks_of_nodes_and_trees(page):
    for words in (
        "nodes remaining (log scale)",
        "Test accuracy against nodes remaining",
        "from all nodes at the left",
        "Share pruned in each tree",
        "both techniques prune the same trees",
        "reachable nodes",
        "comparisons",
    ):
        assert words in page, words


@pytest.mark.parametrize("word", WORDS_OF_NETWORKS)
def test_the_page_of_trees_has_no_word_of_networks(page, word):
    assert word not in page


def test_the_page_of_a_network_speaks_of_weights_and_layers(history):
    text = render(history)
    for words in (*WORDS_OF_NETWORKS, "weights remaining (log scale)", "Share pruned in each layer"):
        assert words in text, words
