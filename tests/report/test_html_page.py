"""The page of a diagnosis: whole, balanced, without requests, and nothing from outside is taken for HTML."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest

from attnflow.report.html_diagnosis import DiagnosisPage, diagnosis_html
from attnflow.report.html_style import STYLE
from attnflow.report.html_text import SHOWN, escaped, passage
from oracles.diagnosis_data import comparison, diagnosis

VOID = {"meta", "img", "br", "link"}
NASTY = "<script>alert('x')</script> & \"quotes\" " + "long " * 100


class Page(HTMLParser):
    """Elements as a flat list, with a check that every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def count(self, tag):
        return sum(name == tag for name, _ in self.seen)

    def inside(self, tag):
        return [text for where, text in self.texts if where == tag]


@pytest.fixture(scope="module")
def deep():
    page = DiagnosisPage(
        verdict="neighbours kept 83 %; drift starts at layer 3 <b>",
        findings=["measured: rank falls", "no prediction: <i>causal</i>"],
        layers=diagnosis(blocks=22, repeats=20, dim=768, kind="text", unpredicted=(0, 3)),
        model={"name": "tiny <img src=x onerror=alert(1)>", "licence": "apache-2.0"},
        provenance={"seed": "0"},
        inputs={"passages": "20"},
        comparison=comparison(blocks=22),
        comparison_facts={"against": "other & more"},
        moved=[(NASTY, 0.71, 0.3), ("a\nbreak\x00", float("nan"), float("nan")), ("half \ud800 pair", 0.8, 0.5)],
        gate=["overlap10 < 0.95"],
        command='attnflow diagnose "my model" --out a.html',
    )
    return diagnosis_html(page)


@pytest.fixture(scope="module")
def probe():
    layers = diagnosis(repeats=1, heads=1, dim=24, unpredicted=tuple(range(6)))
    return diagnosis_html(DiagnosisPage("rank falls", [], layers, {}, {}))


def test_tags_are_balanced_and_nothing_is_requested(deep, probe):
    for text in (deep, probe):
        page = Page(text)
        assert page.count("h1") == 1
        assert page.count("script") == page.count("link") == page.count("iframe") == 0
        assert all(attrs["src"].startswith("data:image/svg+xml;base64,") for tag, attrs in page.seen if tag == "img")
        assert not [attrs for _, attrs in page.seen if {"href", "srcset", "onerror", "onload", "onclick"} & set(attrs)]
        assert "http:" not in text
        assert "https:" not in text
        assert "url(" not in text
        assert "@import" not in text
        assert "default-src 'none'" in text
        assert len(text.encode()) < 3_000_000


def test_the_verdict_comes_first_and_in_the_largest_letters(deep):
    page = Page(deep)
    headings = [text for tag, text in page.texts if tag in {"h1", "h2"}]
    assert headings[0] == "neighbours kept 83 %; drift starts at layer 3 <b>"
    assert headings[1:4] == ["Layer by layer", "Comparison", "Measured by layer"]
    sizes = {tag: float(size) for tag, size in re.findall(r"^(h[12]) { font-size: ([\d.]+)rem", STYLE, re.MULTILINE)}
    assert sizes["h1"] > sizes["h2"]


def test_theory_and_heads_are_folded(deep, probe):
    body = deep[deep.index("<details>") :]
    folded = re.findall(r"<details>\n<summary><h2>(.*?)</h2></summary>", body)
    assert folded == ["How far the theory can be trusted", "Marginals", "Heads", "How to read this page"]
    assert "no single (B, V)" in body
    assert "tokens are not Gaussian: R² is below" in body
    assert "<details open" not in deep
    assert Page(probe).count("details") == 4


def test_what_comes_from_outside_is_text(deep):
    assert "<script>" not in deep
    assert "<img src=x" not in deep
    page = Page(deep)
    shown = page.inside("bdi")
    assert shown[0].startswith("<script>alert('x')</script> & \"quotes\" long")
    assert len(shown[0]) <= SHOWN
    assert shown[0].endswith("…")
    assert shown[1:] == ["a break\ufffd", "half \ufffd pair"]
    assert deep.encode("utf-8")


def test_letters_of_all_scripts_and_joined_emoji_stay():
    text = "naïve مرحبا 漢字 👩\u200d👩\u200d👧 soft\u00adhyphen"
    assert escaped(text) == text
    assert text in passage(text)


def test_the_drawing_inside_is_a_whole_svg_without_links(deep):
    drawings = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", deep)
    assert len(drawings) == 2
    for code in drawings:
        root = ET.fromstring(base64.b64decode(code))
        assert root.tag.endswith("svg")
        links = [value for node in root.iter() for name, value in node.attrib.items() if name.endswith("href")]
        assert links
        assert all(link.startswith("#") for link in links)


def test_the_same_diagnosis_gives_the_same_bytes(probe):
    layers = diagnosis(repeats=1, heads=1, dim=24, unpredicted=tuple(range(6)))
    assert diagnosis_html(DiagnosisPage("rank falls", [], layers, {}, {})) == probe


def test_a_probe_says_that_it_is_one(deep, probe):
    assert "not your data" in probe
    assert "not your data" not in deep
    assert "Verdict on real input: 20 sequences" in deep


def test_every_layer_block_and_head_has_a_row(deep):
    tables = re.findall(r"<table><caption>(.*?)</caption>.*?<tbody>(.*?)</tbody>", deep, re.DOTALL)
    rows = {caption.split()[0]: body.count("<tr>") for caption, body in tables}
    assert rows == {"The": 3, "Drift": 23, "Medians": 23, "Predicted": 22, "One": 22 * 12}
    for caption, body in tables:
        assert len(set(re.findall(r"<tr>(.*?)</tr>", body)) or {""}) >= 1, caption
        cells = {row.count("<td") for row in body.split("<tr>")[1:]}
        assert len(cells) == 1


def test_command_facts_and_gate_are_shown(deep):
    page = Page(deep)
    assert page.inside("code") == ['attnflow diagnose "my model" --out a.html']
    facts = dict(zip(page.inside("dt"), page.inside("dd"), strict=True))
    assert facts["licence"] == "apache-2.0"
    assert facts["against"] == "other & more"
    assert "The gate tripped: overlap10 < 0.95" in page.inside("li")


def luminance(color):
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4) @ [
        0.2126,
        0.7152,
        0.0722,
    ]


@pytest.mark.parametrize("block", range(3), ids=["light", "dark", "paper"])
def test_letters_stand_out_from_the_page_in_every_mode(block):
    """The contrast ratio of WCAG 2.2, level AA, for text of normal size."""
    colors = dict(re.findall(r"--(\w+): (#\w{6})", re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[block]))
    for name in ("ink", "soft", "warn"):
        for ground in ("paper", "card"):
            low, high = sorted([luminance(colors[name]), luminance(colors[ground])])
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, ground)
