"""The pages of the documentation, and what stands in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / ".github").glob("*.md")),
    ]
}
"""The text of each page, by its path in the repository."""
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.S | re.M)


def page(name):
    """The text of a page of docs/."""
    return PAGES[f"docs/{name}.md"]


def words(text):
    """A text with each run of white space as one blank."""
    return " ".join(text.split())


def blocks(text, language=""):
    """The code blocks of one language, without the indentation of the fence."""
    found = [(indent, code) for indent, named, code in FENCED.findall(text) if named == language]
    return [re.sub(f"^{indent}", "", code, flags=re.M) for indent, code in found]


def prose(text):
    """A text without its code blocks and code in lines."""
    return re.sub(r"`[^`]*`", "", FENCED.sub("", text))


def code_lines(text):
    """Each line of the code blocks without a language, and each piece of code in a line."""
    lines = "\n".join(blocks(text)).replace("\\\n", " ").splitlines()
    return lines + [words(code) for code in re.findall(r"`([^`]+)`", FENCED.sub("", text))]


def lines_below(text, head):
    """The lines of the table that begins with this line."""
    (table,) = text.split(f"{head}\n")[1:]
    return table.partition("\n\n")[0].splitlines()[1:]
