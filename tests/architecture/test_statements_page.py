"""docs/theory/statements.md is what docs/generate_statements.py writes, and no statement is without a test."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLAIMS = (
    *("Lemma 3.1", "Thm. 3.2", "Table 1", "Thm. 4.1", "Rem. 4.2", "Lemma 4.3", "Rem. 4.4", "Thm. 4.5", "Thm. 4.6"),
    *("eq. (4.9)", "Rem. 4.7", "Thm. 4.8", "Rem. 4.9", "Rem. 4.10"),
)
OURS = (
    "Theorem A",
    "Theorem B",
    "Theorem C",
    "Theorem D",
    "Theorem E",
    "Small starts",
    "Global existence",
    "Equilibria",
)


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_statements", ROOT / "docs" / "generate_statements.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_the_generated_one(generator):
    assert generator.PAGE.read_text() == generator.page(), "run: python docs/generate_statements.py"


@pytest.mark.parametrize("claim", CLAIMS + OURS)
def test_every_numbered_statement_on_the_long_run_has_a_test(claim, generator):
    """Sections 3 and 4 of the paper, all numbered statements but Remark 3.3, which makes no claim."""
    assert generator.tests().get(claim), claim


def test_every_proof_that_the_page_links_exists(generator):
    for key, _, proof in generator.PAPER + generator.OURS:
        name, _, anchor = proof.partition("#")
        lines = (ROOT / "docs" / "theory" / name).read_text().splitlines()
        headings = [line.lstrip("#").strip().lower() for line in lines if line.startswith("#")]
        slugs = ["-".join(heading.replace(".", "").split()) for heading in headings]
        assert not anchor or anchor in slugs, (key, proof)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Source: :cite:alcalde2026, Thm. 4.6 and eq. (4.9).", {"Thm. 4.6", "eq. (4.9)"}),
        (":cite:alcalde2026, eq. (2.4) and (2.5)", {"eq. (2.4)", "eq. (2.5)"}),
        ("Remarks 4.4 and 4.10: at a positive definite", {"Rem. 4.4", "Rem. 4.10"}),
        ("Inequality (A.12) in the proof of Theorem 4.5", {"eq. (A.12)", "Thm. 4.5"}),
        ("docs/theory/long-run.md, Theorem A, item 5", {"Theorem A"}),
        ("Table 1 row by row", {"Table 1"}),
    ],
)
def test_places_are_read_as_they_are_written(text, keys, generator):
    assert generator.places(text) == keys


def test_file_names_are_read_as_they_are_written(generator):
    assert generator.places_of_file_name("test_remark44_410_mean_instability") == {"Rem. 4.4", "Rem. 4.10"}
    assert generator.places_of_file_name("test_theoremB_closed_form") == {"Theorem B"}
    assert generator.places_of_file_name("test_small_starts") == {"Small starts"}
    assert generator.places_of_file_name("test_table1_rows") == {"Table 1"}
