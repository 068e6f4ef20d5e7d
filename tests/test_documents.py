"""What the documents say runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if "_build" not in path.parts and SNIPPET.search(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", *PAGES])
def test_every_snippet_runs_after_those_before_it(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, names = (ROOT / document).read_text(encoding="utf-8"), {"__name__": "snippet"}
    snippets = list(SNIPPET.finditer(text))
    assert snippets
    for snippet in snippets:
        line = text.count("\n", 0, snippet.start(1))
        exec(compile("\n" * line + snippet[1], ROOT / document, "exec"), names)
