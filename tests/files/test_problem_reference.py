"""docs/problem-file.md: its examples work and it knows every key."""

import re
from pathlib import Path

import pytest

from attnflow.files import schema
from attnflow.files.problem import read_problem

PAGE = (Path(__file__).parents[2] / "docs" / "problem-file.md").read_text()
TABLES = {
    "`[start]`": schema.StartTable,
    "`[model.attention]`": schema.AttentionTable,
    "`[model.feedforward]`": schema.FeedforwardTable,
    "`[depth]`": schema.DepthTable,
    "`[simulate]`": schema.SimulateTable,
}


@pytest.mark.parametrize("heading", TABLES)
def test_the_page_lists_exactly_the_keys_of_each_table(heading):
    section = re.split(r"^#+ ", PAGE.split(heading, 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    cells = re.findall(r"^\| ([^|]*) \|", section, flags=re.MULTILINE)
    listed = {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}
    assert listed == set(TABLES[heading].model_fields)


def test_the_example_with_depth_can_be_read(tmp_path):
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    path = tmp_path / "problem.toml"
    path.write_text("[start]\nmean = [1, 2]\ncov = 1\n" + example)
    model = read_problem(path).model
    assert [len(layer.attention) for layer in model.models] == [1, 0]
