"""What every benchmark script needs: rows of figures with the machine they come from."""

import csv
import datetime
import os
import platform
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from sklstruct.io import atomic_write

HERE = Path(__file__).parent


def machine():
    """Return the processor, the cores and the versions that matter."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.split(": ")[1] for x in lines if x.startswith("model name")), model)
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
    results = results.assign(**machine())
    if path.exists():
        results = pd.concat([pd.read_csv(path), results]).drop_duplicates(list(keys), keep="last")
    with atomic_write(path) as stream:
        results.to_csv(stream, index=False, **options)
