"""A hook of mkdocs: links to files that are not on the site become their text.

In the repository they lead to code, grids and rows; tests/docs/test_links.py checks them there.
"""

import posixpath
import re
from typing import Any

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_page_markdown(
    markdown: str,
    *,
    page: Any,  # noqa: ANN401  # of mkdocs, as `files`
    files: Any,  # noqa: ANN401
    **_: object,
) -> str:
    """The text of a page with links within the site only."""
    on_site = {file.src_uri for file in files if file.inclusion.is_included()}
    folder = posixpath.dirname(page.file.src_uri)

    def kept(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        return link[0] if target in on_site else link[1]

    return LINK.sub(kept, markdown)
