"""i-RevNet against the RevNet and the ResNet of as many bottlenecks and parameters.

``accuracy``: few training images, stratified draws that are the same for all, one budget for all:
1000 of the first 50000 training images of MNIST, tested on the 10000 others, and 500 of CIFAR-10
with flips and crops, tested on the test images.  Rows go to irevnet.csv, one a fit.

``inverse``: a hundred blocks of one width and the default network, trained on 300 digits: relative
errors of the reconstruction of images and of noise, and what a perturbation of a thousandth of
the representation does to the images.  Rows go to irevnet_inverse.csv.

``figures``: of three networks trained on the same 1000 digits: loss curves (figure 18 of the
thesis), singular values (19), interpolations (20), accuracy by depth (21) and by principal
components (22), contraction (eq. 16, 17).  Pictures go to the folder --out, numbers to
irevnet_figures.csv.

Needs mnist.npz and cifar10.npz in the folder that SKLSTRUCT_DATA names.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from common import append_csv, merge_csv
from scipy.stats import spearmanr
from sklstruct_irevnet.twins import Residual

from sklstruct import IRevNetClassifier, StructuredClassifier, inspection
from sklstruct.io import load_dataset
from sklstruct.studies import format_summary, limited_data

TWINS = {"RevNet": "revnet", "ResNet": "resnet_twin"}
N_TRAIN = 50000


def networks(**options):
    """Return the three classifiers."""
    twins = {k: StructuredClassifier(architecture=name, **options) for k, name in TWINS.items()}
    return {"i-RevNet": IRevNetClassifier(**options), **twins}


def accuracy(args):
    mnist, cifar = load_dataset("mnist"), load_dataset("cifar10")
    settings = {
        "mnist": (
            1000,
            None,
            mnist.X[:N_TRAIN],
            mnist.y[:N_TRAIN],
            mnist.X[N_TRAIN:],
            mnist.y[N_TRAIN:],
        ),
        "cifar10": (500, "crops", cifar.X, cifar.y, cifar.X_test, cifar.y_test),
    }
    for name in args.data.split(","):
        size, augment, X, y, X_test, y_test = settings[name]
        results = limited_data(
            networks(augment=augment),
            X,
            y,
            X_test=X_test,
            y_test=y_test,
            sizes=[size],
            n_draws=args.draws,
            n_jobs=args.n_jobs,
            out=args.work / name,
        )
        print(format_summary(results))
        rows = results.assign(data=name, error=100 * (1 - results["accuracy"]))
        merge_csv("irevnet.csv", rows, ("data", "estimator", "size", "draw"))


def inverse(args):
    data = load_dataset("mnist")
    X, y = data.X[:300], data.y[:300]
    rng = np.random.default_rng(0)
    samples = {"images": data.X[N_TRAIN:][:1000]}
    samples["noise"] = rng.integers(0, 256, samples["images"].shape).astype(np.uint8)
    variants = {
        "100 blocks": {"blocks": (100,), "widths": (16,), "strides": (1,), "max_epochs": 4},
        "default": {},
        "bijective": {"widths": "bijective", "initial_downsampling": 2},
    }
    for label, params in variants.items():
        for dtype in ("float32", "float64"):
            model = IRevNetClassifier(**params, dtype=dtype, random_state=0).fit(X, y)
            for kind, images in samples.items():
                Z = model.transform(images)
                bump = rng.normal(size=Z.shape)
                bump *= 1e-3 * np.linalg.norm(Z) / np.linalg.norm(bump)
                back, moved = (model.inverse_transform(z) for z in (Z, Z + bump))
                norm = np.linalg.norm(images.astype(float))
                row = {"network": label, "dtype": dtype, "samples": kind}
                row |= {"relative_error": model.reconstruction_error(images)}
                row |= {"bit_for_bit": bool((back.round() == images).all())}
                row |= {"error_of_perturbation": float(np.linalg.norm(moved - images) / norm)}
                append_csv("irevnet_inverse.csv", row)


def figures(args):
    args.out.mkdir(parents=True, exist_ok=True)
    data = load_dataset("mnist")
    X, y, X_test, y_test = data.X[:1000], data.y[:1000], data.X[-2000:], data.y[-2000:]
    numbers = []

    def save(name, display, what):
        display.save(args.out / f"{name}-{what}.png", dpi=150)
        return display.to_frame()

    def note(network, quantity, value):
        numbers.append({"network": network, "quantity": quantity, "value": float(value)})

    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    for name, model in networks(random_state=0).items():
        model.fit(X, y)
        axes.plot(np.arange(1, 1 + len(model.loss_curve_)), model.loss_curve_, label=name)
        note(name, "last training loss", model.loss_curve_[-1])
        note(name, "accuracy", model.score(X_test, y_test))
        network = model.net_.module_
        blocks = [k for k, part in network.named_modules() if isinstance(part, Residual)]
        layers = None if name == "i-RevNet" else blocks
        if name != "RevNet":  # whose stages are blocks of blocks
            table = save(
                name,
                inspection.DepthDisplay.from_accuracy(model, X, y, X_test, y_test, layers=layers),
                "accuracy-by-depth",
            )
            for classifier, rows in table[table["classifier"] != "head"].groupby("classifier"):
                rank = spearmanr(rows["depth"], rows["accuracy"]).statistic
                note(name, f"Spearman of depth and accuracy, {classifier}", rank)
                note(name, f"accuracy of the last block, {classifier}", rows["accuracy"].iloc[-1])
            save(
                name,
                inspection.DepthDisplay.from_contraction(model, X, y, layers=layers),
                "contraction",
            )
            save(
                name,
                inspection.ComponentsDisplay.from_estimator(model, X, y, X_test, y_test),
                "accuracy-by-components",
            )
        if name == "i-RevNet":
            display = inspection.SingularValuesDisplay.from_estimator(model, X_test[0])
            save(name, display, "singular-values")
            share = display.energy_within(0.1)["features"]
            note(name, "energy of the first tenth of the singular values", share)
            values = display.to_frame()["value"]
            note(name, "largest singular value", values.max())
            note(name, "median singular value", values.median())
            pairs = X_test[:5], X_test[5:10]
            save(name, inspection.InterpolationDisplay.from_estimator(model, *pairs), "mixtures")
    axes.set(yscale="log", xlabel="epoch", ylabel="training loss")
    axes.legend(frameon=False)
    figure.savefig(args.out / "loss-curves.png", dpi=150)
    bijective = IRevNetClassifier(widths="bijective", initial_downsampling=2, random_state=0)
    bijective.fit(X, y)
    note("bijective", "accuracy", bijective.score(X_test, y_test))
    display = inspection.InterpolationDisplay.from_estimator(bijective, X_test[:5], X_test[5:10])
    save("bijective", display, "mixtures")
    merge_csv("irevnet_figures.csv", pd.DataFrame(numbers), ("network", "quantity"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("accuracy", "inverse", "figures"))
    parser.add_argument("--data", default="mnist,cifar10")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--work", type=Path, default="irevnet-study", help="of the running study")
    parser.add_argument("--out", type=Path, default="irevnet-figures", help="for the pictures")
    args = parser.parse_args()
    globals()[args.command](args)


if __name__ == "__main__":
    main()
