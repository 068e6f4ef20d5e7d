"""The report of a cohort study, for the reviewers of a paper."""

from __future__ import annotations

import os
from pathlib import Path

from ..io.atomic import atomic_write
from ..studies.cohort_study import CohortResults
from .cohort_findings import Findings
from .cohort_methods import lead, left_out_section, methods_section, settings_section, study_section
from .cohort_outcome import (
    calibration_section,
    comparison_section,
    roc_section,
    scores_section,
    sites_section,
)
from .page import page

SECTIONS = (
    *(scores_section, comparison_section, sites_section, roc_section, calibration_section),
    *(study_section, left_out_section, methods_section, settings_section),
)


def write_report(
    results: CohortResults, folder: str | os.PathLike[str], *, baseline: str | None = None
) -> Path:
    """Write what a cohort study found, for people and as tables.

    Parameters
    ----------
    results : CohortResults
    folder : path-like
        Where to write ``report.html``, a page that stands alone, with the pictures in it;
        ``summary.csv``, what ``summarise_cohort`` returns; and ``comparisons.csv``, what
        ``compare`` returns for balanced accuracy and AUC.  It is made if it is not there.
    baseline : str, default=None
        Label of the estimator to compare with; None is the first one, whatever came out.

    Returns
    -------
    report : Path
        That of ``report.html``.

    Raises
    ------
    ValueError
        If there is no such baseline, or the results are not sound.
    OSError
        If a file cannot be written.
    """
    found = Findings(results, baseline)
    title = f"Predicting {found.results.target} from scans"
    contents = {
        "summary.csv": found.summary.to_csv(index=False, lineterminator="\n"),
        "comparisons.csv": found.comparisons.to_csv(index=False, lineterminator="\n"),
        "report.html": page(title, lead(found), *(part(found) for part in SECTIONS)),
    }
    # All is computed before anything is written: an error leaves an earlier report as it was.
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        with atomic_write(folder / name) as stream:
            stream.write(content)
    return folder / "report.html"
