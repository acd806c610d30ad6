"""The public names are a promise: one is added or removed on purpose, together with its line in public_names.txt."""

from pathlib import Path

import attnflow

SNAPSHOT = Path(__file__).with_name("public_names.txt")


def test_public_names_are_those_of_the_snapshot():
    assert set(attnflow.__all__) == set(SNAPSHOT.read_text().split())


def test_every_public_name_can_be_had():
    missing = [name for name in attnflow.__all__ if not hasattr(attnflow, name)]
    assert not missing


def test_dir_lists_every_public_name():
    assert set(attnflow.__all__) <= set(dir(attnflow))
