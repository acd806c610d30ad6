from __future__ import annotations

import json


def test_doctor_reports_versions_precision_devices_and_folders(command):
    ended = command("doctor", "--json")
    report = json.loads(ended.out)
    assert ended.code == 0
    assert report["ok"]
    assert {"python", "attnflow", "jax", "numpy", "scipy"} <= set(report["versions"])
    assert report["devices"]
    assert report["precision"]["dtype"] == "float64"
    assert report["precision"]["global_dtype"] == "float32"
    assert set(report["precision"]["engines"]) == {"closed_form", "factor_ode"}
    assert report["precision"]["difference"] < 1e-10
    assert set(report["optional"]) == {"torch", "transformers"}
    assert {"folder", "in_use", "files", "bytes"} == set(report["cache"])
    assert report["temporary_folder"]["writable"]


def test_doctor_speaks_to_people_too(command):
    ended = command("doctor")
    assert ended.code == 0
    for word in ("versions", "precision", "devices", "cache", "agree to"):
        assert word in ended.out


def test_a_failed_self_check_exits_with_10(command, monkeypatch):
    import attnflow.cli.doctor as room

    monkeypatch.setattr(room, "AGREEMENT", -1.0)
    ended = command("doctor")
    assert ended.code == 10
    assert "WRONG" in ended.out
