"""Is what several resolutions say redundant?  Five networks on few road signs and digits.

All have the convolutions of the default network in half the width, and as many weights as one
another but for 3 %.  "concatenate, wide" is for control: its embedding has 64 values as that of
the last level alone, and more weights.

``choose``: the recipe, for all networks alike, on another draw of the road signs.  Rows go to
multiscale_recipes.csv.

``curves``: one recipe and budget, the same draws for all networks, n and 4n training images, and
the validation accuracy after every epoch.  Road signs are drawn in tracks, whose four frames are
nearly the same, and validated on other tracks; each of the 43 classes has a track at least.  Rows
go to multiscale.csv; what is there is not fitted again.

``claims``: differences with intervals over the draws, of the last accuracy and of the mean over
the epochs, and what that says of three claims.  Rows go to multiscale_claims.csv.

``figure``: the curves, mean and range over the draws.

Needs gtsrb.npz and mnist.npz in the folder that SKLSTRUCT_DATA names.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from common import HERE, append_csv, machine, paired_differences
from matplotlib.figure import Figure
from scipy.stats import t as student
from sklearn.model_selection import train_test_split
from sklstruct_multiscale.architecture import SCALES

from sklstruct import MultiscaleClassifier
from sklstruct.io import load_dataset

SIZES = {"road signs": 500, "digits": 250}  # n
FRAMES, VALIDATION = 4, 1000
RECIPES = {
    "lr 0.01": {"lr": 0.01},
    "lr 0.03": {"lr": 0.03},
    "lr 0.01, auxiliary 1": {"lr": 0.01, "auxiliary_weight": 1.0},
}
RECIPE = {"lr": 0.01}
NETWORKS = {scales: {"scales": scales} for scales in SCALES}
NETWORKS["concatenate, wide"] = {"scales": "concatenate", "embedding": 91}
CONVERGED = {"last": "last epoch", "mean": "mean over epochs"}


def network(name, seed, **recipe):
    options = {"widths": (8, 16), "max_epochs": 20, **RECIPE, **NETWORKS[name], **recipe}
    return MultiscaleClassifier(random_state=seed, **options)


def road_signs(size, seed):
    """Return images and labels for training and validation; larger sizes hold smaller ones."""
    with np.load(Path(os.environ["SKLSTRUCT_DATA"]) / "gtsrb.npz") as file:
        X, y, track = file["X_train"], file["y_train"], file["track_train"]
    _, first = np.unique(track, return_index=True)
    classes = y[first]
    rest, held_out = train_test_split(
        np.arange(len(classes)),
        test_size=VALIDATION // FRAMES,
        stratify=classes,
        random_state=seed,
    )
    _, one_each = np.unique(classes[rest], return_index=True)
    drawn = [*rest[one_each], *np.delete(rest, one_each)][: size // FRAMES]
    training, validation = (np.isin(track, part) for part in (drawn, held_out))
    return X[training], y[training], X[validation], y[validation]


def digits(size, seed):
    """Return images and labels for training and validation; larger sizes hold smaller ones."""
    data = load_dataset("mnist")
    drawn = np.random.default_rng(seed).permutation(50000)[:size]
    held_out = slice(50000, 50000 + VALIDATION)
    return data.X[drawn], data.y[drawn], data.X[held_out], data.y[held_out]


DATA = {"road signs": road_signs, "digits": digits}


def accuracies(model, X, y, X_val, y_val):
    """Return the validation accuracy after every epoch."""
    model.fit(X, y, X_val=X_val, y_val=y_val)
    return model.net_.history[:, "valid_acc"]


def choose(args):
    for name, recipe in RECIPES.items():
        for scales in args.only.split(";"):
            model = network(scales, 1000, **recipe, max_epochs=args.epochs)
            found = accuracies(model, *road_signs(SIZES["road signs"], 1000))
            row = {"recipe": name, "scales": scales, "epochs": args.epochs}
            append_csv("multiscale_recipes.csv", row | {"accuracy": found[-1]})


def curves(args):
    path, keys = HERE / "multiscale.csv", ["data", "size", "draw", "scales"]
    done = {*pd.read_csv(path)[keys].itertuples(index=False, name=None)} if path.exists() else ()
    for draw in range(args.draws):
        for data in args.data.split(","):
            for size in (SIZES[data], 4 * SIZES[data]):
                samples = DATA[data](size, draw)
                for scales in args.only.split(";"):
                    if (data, size, draw, scales) in done:
                        continue
                    model = network(scales, draw, max_epochs=args.epochs)
                    found = accuracies(model, *samples)
                    row = {"data": data, "scales": scales, "size": size, "draw": draw}
                    by_epoch = {f"epoch {k}": accuracy for k, accuracy in enumerate(found, 1)}
                    row |= {"n_parameters": model.n_parameters_, **by_epoch}
                    append_csv("multiscale.csv", row)


def read_curves():
    """Return the accuracies, one row an epoch."""
    table = pd.read_csv(HERE / "multiscale.csv")
    epochs = [name for name in table if name.startswith("epoch ")]
    keys = ["data", "scales", "size", "draw"]
    curves = table.melt(keys, epochs, "epoch", "accuracy")
    curves["epoch"] = curves["epoch"].str.removeprefix("epoch ").astype(int)
    return curves


def interval(values):
    """Return mean and 95 % interval of Student's t over the draws."""
    values = np.asarray(values)
    room = student.isf(0.025, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean(), values.mean() - room, values.mean() + room


def verdict(low, high):
    """Return what is to be said of a difference that should be positive."""
    return "held" if low > 0 else "not held" if high < 0 else "within the noise"


def claims(args):
    results = read_curves().assign(n_test=VALIDATION)
    keys, rows = ["data", "scales", "size", "draw", "n_test"], []
    for kind, words in CONVERGED.items():
        table = results.groupby(keys, sort=False)["accuracy"].agg(kind).reset_index()
        for data, part in table.rename(columns={"scales": "estimator"}).groupby("data", sort=False):
            means = part.groupby(["estimator", "size"], sort=False)["accuracy"].agg(["mean", "std"])
            print(f"{data}, {words}\n{means.round(4).to_string()}")
            print(paired_differences(part, reference="last").round(4).to_string(index=False))
            accuracy = part.pivot(index=["size", "draw"], columns="estimator", values="accuracy")
            gaps = []
            for size, found in accuracy[list(SCALES)].groupby("size"):
                means = found.mean()
                others = means.drop("concatenate")
                pairs = {"concatenate is worst": (others.idxmin(), "concatenate")}
                pairs["concatenate is worse than last"] = "last", "concatenate"
                for scales in ("supervised", "supervised-detached", "pyramid"):
                    pairs[f"{scales} is best"] = (scales, means.drop(scales).idxmax())
                for claim, (better, worse) in pairs.items():
                    difference = interval(found[better] - found[worse])
                    rows.append((data, words, size, claim, f"{better} - {worse}", *difference))
                gaps.append((found["last"] - found["concatenate"]).droplevel("size"))
            claim = f"concatenate loses less than with {size // 4}"
            difference = interval(gaps[0] - gaps[1])
            rows.append((data, words, size, claim, "last - concatenate", *difference))
    columns = ["data", "accuracy", "size", "claim", "compared", "difference", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    table["found"] = [verdict(*row) for row in table[columns[-2:]].to_numpy()]
    print(table.round(4).to_string(index=False))
    path = HERE / "multiscale_claims.csv"
    table.assign(**machine()).to_csv(path, index=False, float_format="%.4g")


def figure(args):
    results = read_curves()
    sheet = Figure(figsize=(9, 6.5), layout="constrained")
    axes = iter(sheet.subplots(2, 2, sharex=True).flat)
    for (data, size), part in results.groupby(["data", "size"]):
        ax = next(axes)
        for scales, own in part[part["scales"].isin(SCALES)].groupby("scales", sort=False):
            by_epoch = own.groupby("epoch")["accuracy"].agg(["mean", "min", "max"])
            (line,) = ax.plot(by_epoch.index, by_epoch["mean"], label=scales)
            ax.fill_between(
                by_epoch.index, by_epoch["min"], by_epoch["max"], alpha=0.15, color=line.get_color()
            )
        ax.set(title=f"{data}, {size} images", xlabel="epoch", ylabel="validation accuracy")
        ax.locator_params(axis="x", integer=True)
    ax.legend()
    sheet.savefig(args.picture, dpi=150)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["choose", "curves", "claims", "figure"])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--only", default=";".join(SCALES))
    parser.add_argument("--picture", type=Path, default=Path("multiscale.png"))
    args = parser.parse_args()
    {"choose": choose, "curves": curves, "claims": claims, "figure": figure}[args.what](args)
