"""What the documents say runs as it stands, and their figures are those that were measured."""

import re
from pathlib import Path

import pandas as pd
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


# ------------------------------------------------------------------------------ figures

FIGURE = re.compile(r"[\d.]+ ± [\d.]*\d|.[\d.]+ \[.?[\d.]+, .?[\d.]*\d\]")
QUOTED = [
    ("mnist", "estimator == 'RFNN'", "error", "2.96 ± 0.32"),
    ("mnist", "estimator == 'twin 7x7'", "error", "3.24 ± 0.32"),
    ("mnist", "estimator == 'SVM'", "error", "11.27 ± 0.56"),
    ("scattering_mnist", "estimator == 'SVC' and size == 300", "error", "3.61 ± 0.34"),
    ("scattering_cifar", "estimator == 'scattering net' and size == 100", "accuracy", "41.0 ± 1.5"),
    ("frame_resnet", "estimator == 'ResNet-20, image' and size == 500", "accuracy", "50.9 ± 1.9"),
    ("hierarchical", "estimator == 'HCNN+ (Q 16)' and size == 1000", "accuracy", "59.1 ± 0.6"),
    ("volumes", "task == 'sex' and estimator == 'voxel SVM'", "balanced_accuracy", "81.2 ± 10.5"),
    ("volumes", "task == 'sex' and estimator == 'RFNiN'", "balanced_accuracy", "71.6 ± 9.6"),
    ("volumes", "task == 'simulated' and estimator == 'RFNiN'", "balanced_accuracy", "86.0 ± 3.8"),
    ("irevnet", "estimator == 'i-RevNet' and data == 'mnist'", "error", "2.46 ± 0.44"),
]


def read(document):
    return (ROOT / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("file, rows, column, figure", QUOTED)
def test_a_figure_is_what_was_measured(file, rows, column, figure):
    values = pd.read_csv(ROOT / "benchmarks" / f"{file}.csv").query(rows)[column]
    values = values if column == "error" else 100 * values
    decimals = len(figure.rpartition(".")[2])
    assert f"{values.mean():.{decimals}f} ± {values.std():.{decimals}f}" == figure
    assert figure in read("docs/benchmarks.md")


@pytest.mark.parametrize("document", ["docs/index.md", "docs/choosing.md", "docs/first_model.md"])
def test_what_is_quoted_stands_among_the_benchmarks(document):
    figures = set(FIGURE.findall(read(document)))
    assert figures
    assert figures <= {
        *FIGURE.findall(read("docs/benchmarks.md")),
        *FIGURE.findall(read("README.md")),
    }
