"""Where layers start, and which of them learn: three experiments of one line each.

A network that is drawn at random and never trained but in one layer learns something all the same;
which layer that is matters (Raghu et al., 2017).  First layers of networks resemble one another,
and wavelets: so they can start from a frame, or from another task.  Here a network that knows the
digits 0 to 4 lends its stages to one that sees a few images of 5 to 9.  A file name on the command
line is that of a picture.
"""

import sys
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from sklstruct import RFNNClassifier, StructuredClassifier
from sklstruct.frames import GaussianDerivatives
from sklstruct.inspection import structure

Accuracies = dict[str, list[float]]


def main(
    n_draws: int = 3,
    n_few: int = 25,
    max_epochs: int = 30,
    picture: str | None = None,
) -> None:
    """Draw the accuracies of the three experiments, over draws of the training images."""
    images, y = load_digits().images.astype(np.float32), load_digits().target
    one, starts = Accuracies(), Accuracies()
    for draw in range(n_draws):
        order = np.random.default_rng(draw).permutation(len(y))
        train, test = order[:300], order[800:]
        mlp = StructuredClassifier(architecture="mlp", random_state=draw)
        mlp.set_params(
            max_epochs=2 * max_epochs, architecture__widths=(64, 64), architecture__dropout=0.0
        )
        for layers in (["stages.hidden.0"], ["stages.hidden.2"], "last", "all"):
            mlp.set_params(train_layers=layers)
            accuracy = mlp.fit(images[train], y[train]).score(images[test], y[test])
            one.setdefault(layers if isinstance(layers, str) else layers[0], []).append(accuracy)

        new = y > 4
        few, unseen = order[new[order]][:n_few], order[new[order]][n_few:]
        options: dict[str, Any] = {"frame": "pixel", "widths": (32, 32), "random_state": draw}
        options["max_epochs"] = max_epochs
        source = RFNNClassifier(**options).fit(images[~new][:300], y[~new][:300])
        for name, settings in {
            "drawn": {},
            "atoms": {"init": {"stages.0": GaussianDerivatives(order=3)}},
            "other task": {"init": {"stages": source}},
            "other task,\nhead learns": {"init": {"stages": source}, "train_layers": "last"},
        }.items():
            model = RFNNClassifier(**options, **settings).fit(images[few], y[few])
            starts.setdefault(name, []).append(model.score(images[unseen], y[unseen]))

    print(structure(mlp).drop(columns="kind").to_string())
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    titles = "One layer of a random network learns", f"{n_few} images of 5 to 9: first weights"
    for ax, title, found in zip(axes, titles, (one, starts), strict=True):
        values = np.array([*found.values()])
        ax.plot(values, "o", color="0.7", markersize=4)
        ax.plot(values.mean(axis=1), "_", color="black", markersize=22)
        ax.set_xticks(range(len(found)), [*found], fontsize="small")
        ax.set_title(title, fontsize="medium")
        for name, accuracies in zip(found, values, strict=True):
            label = name.replace("\n", " ")
            print(f"{label:24} {accuracies.mean():.3f} ± {accuracies.std(ddof=1):.3f}")
    axes[0].set_ylabel("accuracy")
    if picture is not None:
        figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(picture=next(iter(sys.argv[1:]), None))
