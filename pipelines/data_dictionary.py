"""docs/data_dictionary.md, made from the headers of sql/: the comments of a release, to read without opening one.

Run `python -m pipelines.data_dictionary` after changing a header; a test asserts that the file is up to date.
"""

from pathlib import Path

from pipelines.relations import described_inputs, load_relations
from pipelines.releases.publication import released_relations

DICTIONARY = Path(__file__).parents[1] / "docs" / "data_dictionary.md"

_HEAD = """\
# Data dictionary

Every table and column of a released `familiar_faces.duckdb`. Made from the headers in `sql/` by
`python -m pipelines.data_dictionary`; the same texts are the comments in the file.
"""


def data_dictionary() -> str:
    """The dictionary as Markdown: a section per released relation, a row per column."""
    described = {**described_inputs(), **load_relations()}
    sections = [_HEAD]
    for name in released_relations():
        relation = described[name]
        rows = "\n".join(f"| `{column}` | {says} |" for column, says in relation.columns.items())
        sections.append(f"## {name}\n\n{relation.comment}\n\n| column | meaning |\n|---|---|\n{rows}\n")
    return "\n".join(sections)


if __name__ == "__main__":
    DICTIONARY.write_text(data_dictionary(), encoding="utf-8")
