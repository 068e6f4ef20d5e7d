"""What every benchmark script needs: rows of figures with the machine they come from."""

import csv
import datetime
import os
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student

from sklstruct.io import atomic_write

HERE = Path(__file__).parent


def machine():
    """Return the processor, the cores and the versions that matter."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        known = {name.strip(): value.strip() for name, _, value in lines}
        model = known.get("model name", model)
        if "cpu family" in known:  # names do not tell one generation from the next
            model += f" (family {known['cpu family']}, model {known.get('model')})"
    packages = ("torch", "scikit-learn", "skorch", "numpy")
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{model}, {os.cpu_count()} cores",
        "versions": " ".join(f"{name}={version(name)}" for name in packages),
    }


def append_csv(name, row):
    """Print a row, and append it to a CSV file beside the scripts."""
    row = {key: f"{v:.4g}" if isinstance(v, float) else v for key, v in row.items()}
    print("  ".join(f"{key}={value}" for key, value in row.items()), flush=True)
    row |= machine()
    path = HERE / name
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)


def merge_csv(name, results, keys=("estimator", "size", "draw"), **options):
    """Add the rows of a study to a CSV file beside the scripts, in place of the same fits."""
    path = HERE / name
    results = pd.DataFrame(results).assign(**machine())
    if path.exists():
        known = pd.read_csv(path)  # which decides on the columns
        results = pd.concat([known, results.reindex(columns=known.columns)])
        results = results.drop_duplicates(list(keys), keep="last")
    with atomic_write(path) as stream:
        results.to_csv(stream, index=False, **options)


def paired_differences(table, reference, metric="accuracy"):
    """Return mean differences from a reference over shared draws, with Student's intervals (95 %).

    For tables of several studies; of one, ``sklstruct.studies.compare`` says more.
    """
    values = table.pivot(index=["size", "draw"], columns="estimator", values=metric)
    rows = []
    for label in dict.fromkeys(table["estimator"]):
        for size, known in (values[label] - values[reference]).dropna().groupby("size"):
            error = known.std() / np.sqrt(len(known))
            reach = student.isf(0.025, len(known) - 1) * error if len(known) > 1 else np.nan
            mean = known.mean()
            row = [label, size, len(known), mean, error, mean - reach, mean + reach]
            rows += [row] if label != reference else []
    names = ["n_draws", "difference", "standard_error", "low", "high"]
    return pd.DataFrame(rows, columns=["estimator", "size", *names])
