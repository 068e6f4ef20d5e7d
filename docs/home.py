"""The three pictures of the first page: kernels, learning curves, and a map over a head."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import pandas as pd
from matplotlib.figure import Figure
from nibabel.processing import resample_from_to
from sklearn.datasets import load_digits

from sklstruct import NiftiVolumes, RFNNClassifier, VoxelSVC
from sklstruct.datasets import simulate_cohort
from sklstruct.inspection import KernelDisplay, MapDisplay, occlusion_map
from sklstruct.inspection.drawing import COLOURS, INK, SMALL, draw_filter

HERE = Path(__file__).parent
BENCHMARKS = HERE.parent / "benchmarks"
SIZE = 4.4, 2.9  # inches


def draw_pictures(folder: Path) -> None:
    """Draw those that are not there, or older than this file."""
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (kernels, curves, head):
        path = folder / f"{draw.__name__}.png"
        if not path.exists() or path.stat().st_mtime < os.stat(__file__).st_mtime:
            draw().savefig(path, dpi=200, facecolor="white")


def kernels() -> Figure:
    """Return the atoms of a frame, and kernels that 300 digits have made of them."""
    digits = load_digits()
    model = RFNNClassifier(max_epochs=30, random_state=0)
    model.fit(digits.images[:300], digits.target[:300])
    learned = KernelDisplay.from_estimator(model, layer=0, n_kernels=10)
    rows = {
        "atoms of the frame: derivatives of a Gaussian": learned.frame.atoms[:10],
        "kernels that were learned in its span": learned.kernels[:10],
    }
    figure = Figure(figsize=SIZE)
    for place, (name, filters) in zip(figure.subfigures(2, 1), rows.items(), strict=True):
        place.suptitle(name, fontsize=SMALL + 1, color=INK)
        axes = place.subplots(2, 5, gridspec_kw={"wspace": 0.1, "hspace": 0.1, "top": 0.84})
        for ax, values in zip(axes.flat, filters, strict=True):
            draw_filter(ax, values)
    return figure


def curves() -> Figure:
    """Return errors on MNIST by the number of training images, as the benchmarks measured them."""
    names = {
        ("mnist_test_images", "SVM"): "SVM on pixels",
        ("scattering_mnist", "SVC"): "ScatteringSVC",
        ("mnist_test_images", "twin 7x7"): "free kernels, the twin",
        ("mnist_test_images", "RFNN"): "RFNNClassifier",
    }
    figure = Figure(figsize=SIZE, layout="constrained")
    ax = figure.subplots()
    for colour, ((file, estimator), name) in zip(COLOURS, names.items(), strict=False):
        fits = pd.read_csv(BENCHMARKS / f"{file}.csv")
        fits = fits[(fits.estimator == estimator) & fits["size"].between(300, 2000)]
        error = fits.groupby("size")["error"].agg(["mean", "std"])
        ax.plot(error.index, error["mean"], color=colour, marker="o", markersize=4, label=name)
        low, high = error["mean"] - error["std"], error["mean"] + error["std"]
        ax.fill_between(error.index, low, high, color=colour, alpha=0.2, linewidth=0)
    ax.set(xscale="log", yscale="log", xlabel="training images of MNIST", ylabel="error (%)")
    ax.set_xticks([300, 1000, 2000], ["300", "1000", "2000"], minor=False)
    ax.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=SMALL + 1)
    return figure


def head() -> Figure:
    """Return where a classifier looked in simulated heads, and the outline of their lesion."""
    with TemporaryDirectory() as folder:
        study = Path(folder, "study")
        cohort = simulate_cohort(
            study, n_subjects=40, shape=(44, 54, 46), spacing=4.0, random_state=0
        )
        scans = NiftiVolumes(mask="brain", crop=True).fit(cohort.X)
        volumes = scans.transform(cohort.X)
        lesion = nib.load(study / "derivatives" / "truth" / "label-atrophy_mask.nii.gz")
        truth = resample_from_to(lesion, (volumes.shape[1:], scans.affine_), order=0).get_fdata()
    model = VoxelSVC().fit(volumes, cohort.y)
    mean, sick = volumes.mean(axis=0), cohort.y == "patient"
    maps = occlusion_map(model, volumes[sick], size=6, stride=3, fill=mean, mask=mean != 0)
    values = model.decision_function(volumes)
    display = MapDisplay(
        100 * maps.mean(axis=0) / (values[sick].mean() - values[~sick].mean()),
        mean,
        affine=scans.affine_,
        truth=truth,
        label="% of the difference between groups",
    )
    return display.plot().figure_


if __name__ == "__main__":
    draw_pictures(HERE / "home")
