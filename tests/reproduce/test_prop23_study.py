"""The study of Proposition 2.3 on fewer systems: its checks agree, its files are written, it is registered."""

from __future__ import annotations

import json

import numpy as np
import pytest

from attnflow.reproduce.alcalde2026 import prop23
from attnflow.reproduce.alcalde2026 import prop23_systems as systems
from attnflow.reproduce.registry import find


def test_it_is_registered():
    target = find("alcalde2026/prop23")
    assert target.module == prop23.__name__
    assert target.name == prop23.NAME


def test_the_systems_on_the_line_agree_with_their_references():
    assert all(check.ok for check in prop23.line_checks())


def test_random_systems_satisfy_the_hypotheses_with_room():
    for dim in (1, 2, 3):
        case = systems.random_case(4, dim)
        (head,) = case.model.attention
        size = 8 * np.linalg.norm(head.B, 2) * np.linalg.eigvalsh(case.start.cov)[-1]
        assert size == pytest.approx(8 * systems.SCORES, rel=1e-12)


@pytest.mark.slow
def test_the_whole_study_on_few_systems(tmp_path, monkeypatch):
    monkeypatch.setattr(prop23, "RANDOM", {1: 3, 2: 3})
    monkeypatch.setattr(prop23, "PICTURE", np.array([0.0, 0.2, 0.4]))
    found = prop23.reproduce(tmp_path)
    assert found.ok, [check.name for check in found.checks if not check.ok]
    assert {file.name for file in found.files} == set(prop23.FILES)
    assert all(file.stat().st_size > 100 for file in found.files)
    written = json.loads((tmp_path / "prop23.json").read_text())
    assert len(written["checks"]) == len(found.checks)
    assert found.datasets["random"].sizes["system"] == 6
