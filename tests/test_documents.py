"""What the documents say runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WRITTEN = ("README.md", "CONTRIBUTING.md", "docs/[!_]*.md", "docs/guide/*.md", "docs/with/*.md")
DOCUMENTS = {
    str(path.relative_to(ROOT)): text
    for pattern in WRITTEN
    for path in sorted(ROOT.glob(pattern))
    if SNIPPET.search(text := path.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_snippet_runs_after_those_before_it(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, names = DOCUMENTS[document], {"__name__": "snippet"}
    for snippet in SNIPPET.finditer(text):
        line = text.count("\n", 0, snippet.start(1))
        exec(compile("\n" * line + snippet[1], ROOT / document, "exec"), names)
