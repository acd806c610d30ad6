"""A diagnosis as one page that needs no other file: the verdict first, the theory folded below."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import xarray as xr

from .diagnosis import diagnosis_figure
from .diagnosis_bands import has_values, repeats_in_words
from .diagnosis_marginals import marginals_figure
from .diagnosis_table import (
    BLOCK_HEADERS,
    COMPARISON_HEADERS,
    LAYER_HEADERS,
    block_rows,
    comparison_rows,
    head_rows,
    layer_rows,
    short_number,
)
from .html_figure import figure_html
from .html_how_to import HOW_TO, PROBE, SIGNS, TRUST
from .html_style import STYLE
from .html_text import bullets, document, escaped, facts, folded, paragraph, passage, section, table

MOVED_HEADERS = ("input", "cosine", "neighbours kept")


@dataclasses.dataclass(frozen=True)
class DiagnosisPage:
    """What a page says.

    `verdict` is one line and comes first, then the `gate` (a line for each condition that tripped) and the `findings`.
    `layers` are the measurements, `comparison` those against another model, if any, with `comparison_facts` and the
    inputs that `moved` most (text, output cosine, share of neighbours kept). `model`, `inputs` and `provenance` are
    facts by name, `notes` what the reader should know of them, `command` what makes the page again. `how_to` explains
    each quantity by its name.
    """

    verdict: str
    findings: Sequence[str]
    layers: xr.Dataset
    model: Mapping[str, str]
    provenance: Mapping[str, str]
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    comparison: xr.Dataset | None = None
    comparison_facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    moved: Sequence[tuple[str, float, float]] = ()
    gate: Sequence[str] = ()
    notes: Sequence[str] = ()
    command: str = ""
    how_to: Mapping[str, str] = dataclasses.field(default_factory=lambda: HOW_TO)


def diagnosis_html(page: DiagnosisPage) -> str:
    """The `page` as HTML: one string, with its figure inside and without scripts.

    Verdict, findings, picture, comparison, table by layer; folded below: how far the theory can be trusted, the
    marginals, the heads, how to read it; then the facts and the command.
    """
    parts = (
        _head(page),
        _picture(page),
        _comparison(page),
        _layers(page.layers),
        _theory(page.layers),
        _marginals(page),
        _heads(page.layers),
        folded("How to read this page", facts(page.how_to)),
        section("Model", facts(page.model) if page.model else ""),
        section("Input", facts(page.inputs) if page.inputs else "", bullets(page.notes)),
        _provenance(page),
    )
    return document(f"{_name(page)}: diagnosis", STYLE, "\n".join(part for part in parts if part))


def _name(page: DiagnosisPage) -> str:
    return page.model.get("name", "model")


def _head(page: DiagnosisPage) -> str:
    probe = page.layers.attrs.get("input") == "gaussian"
    kind = (
        f"{PROBE} Here: {repeats_in_words(page.layers)}."
        if probe
        else f"Verdict on real input: {repeats_in_words(page.layers)}."
    )
    gate = bullets([f"The gate tripped: {line}" for line in page.gate], kind="gate")
    return (
        f'<header>\n<p class="kicker">attnflow diagnose: {escaped(_name(page))}</p>\n'
        f"<h1>{escaped(page.verdict)}</h1>\n"
        f'<p class="kind{" probe" if probe else ""}">{escaped(kind)}</p>\n{gate}\n'
        f'{bullets(page.findings, kind="findings")}\n</header>'
    )  # fmt: skip


def _picture(page: DiagnosisPage) -> str:
    figure = diagnosis_figure(page.layers, page.comparison)
    against = "" if page.comparison is None else "The drift by layer and the cosines of the outputs; then "
    words = (
        f"{against}trace of the covariance, norm of the mean, cosine of tokens, effective rank, eigenvalues, massive "
        "entries, distances to the Gaussian with their floors, growth rate, R² of the predictions and logit variance, "
        "by layer. The numbers stand in the tables below."
    )
    return section("Layer by layer", figure_html(figure, words=words))


def _comparison(page: DiagnosisPage) -> str:
    if page.comparison is None:
        return ""
    rows = comparison_rows(page.comparison)
    drift = table(COMPARISON_HEADERS, rows, caption="Drift by layer with its bootstrap interval") if rows else ""
    moved = [[passage(text), short_number(cosine), _percent(overlap)] for text, cosine, overlap in page.moved]
    inputs = table(
        MOVED_HEADERS, moved, caption="The inputs that moved most", words=frozenset({"input"}), raw=frozenset({"input"})
    )
    return section(
        "Comparison", facts(page.comparison_facts) if page.comparison_facts else "", inputs if moved else "", drift
    )


def _layers(layers: xr.Dataset) -> str:
    caption = f"Medians over {repeats_in_words(layers)}. SW2 in units of sqrt(tr / d)."
    return section("Measured by layer", table(LAYER_HEADERS, layer_rows(layers), caption=caption))


def _theory(layers: xr.Dataset) -> str:
    rows = table(
        BLOCK_HEADERS, block_rows(layers), words=frozenset({"why"}),
        caption="Predicted by block: R² (finite n where there is one), logit variance of the head with the largest",
    )  # fmt: skip
    return folded("How far the theory can be trusted", paragraph(TRUST), rows)


def _marginals(page: DiagnosisPage) -> str:
    if not has_values(page.layers, "marginal"):
        return ""
    figure = marginals_figure({_name(page): page.layers})
    words = "Histograms of one coordinate by layer, each with the normal density of the same mean and variance."
    return folded("Marginals", figure_html(figure, words=words))


def _heads(layers: xr.Dataset) -> str:
    headers, rows = head_rows(layers)
    return folded("Heads", paragraph(SIGNS), table(headers, rows, caption="One row a head")) if rows else ""


def _provenance(page: DiagnosisPage) -> str:
    command = f"<pre><code>{escaped(page.command)}</code></pre>" if page.command else ""
    return section("How it was made", facts(page.provenance) if page.provenance else "", command)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == share else "–"
