"""The page for a package index: README.md with links that work away from the repository.

Everything else stands in pyproject.toml. `PROJECT_URL=https://host/owner/lstmcast make dist` writes
links to files of that repository (`/blob/main/`, pictures `/raw/main/`) and the project's addresses
into the package; without it, such links become plain text, so that none is dead.
"""

import os
import re
from pathlib import Path

from setuptools import setup

URL = os.environ.get("PROJECT_URL", "").rstrip("/")
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#|mailto:)([^)\s]+)\)")


def absolute(match: re.Match[str]) -> str:
    """A relative link or picture of README.md as an index can show it."""
    picture, text, path = match.groups()
    if not URL:
        return "" if picture else text
    return f"{picture}[{text}]({URL}/{'raw' if picture else 'blob'}/main/{path})"


readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
setup(
    long_description=LINK.sub(absolute, readme),
    long_description_content_type="text/markdown",
    project_urls={
        "Source": URL,
        "Documentation": f"{URL}/tree/main/docs",
        "Changelog": f"{URL}/blob/main/CHANGELOG.md",
        "Issues": f"{URL}/issues",
    }
    if URL
    else {},
)
