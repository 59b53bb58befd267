"""The pages on the analysis stay true: recipes run on the stored rows, columns are generated."""

import re
from pathlib import Path

from rotgrid.results.columns import column_table

DOCS = Path(__file__).parents[2] / "docs"
RECIPES = (DOCS / "analysis.md").read_text()


def test_every_recipe_runs_on_the_stored_rows(tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").symlink_to(DOCS)
    monkeypatch.chdir(tmp_path)
    names, snippets = {}, re.findall(r"```python\n(.*?)```", RECIPES, re.S)
    assert len(snippets) > 10
    for snippet in snippets:
        exec(compile(snippet, "analysis.md", "exec"), names)
        assert capsys.readouterr().out, snippet
    assert (tmp_path / "figure01.svg").read_text().startswith("<svg")
    shares = names["distances"].select("model", "train_rotation", "still_right_at_005", "n")
    assert shares.height == 12
    assert shares["still_right_at_005"].is_between(0, 1, closed="right").all()


def test_columns_are_those_of_the_schema():
    """If this fails: paste the output of python -m rotgrid.results.columns"""
    page = (DOCS / "columns.md").read_text()
    assert page.partition("\n\n**`evaluations/`**")[2]
    assert page.endswith(column_table().strip() + "\n")
