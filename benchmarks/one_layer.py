"""Train exactly one layer of a random fully connected network on MNIST, each layer in turn.

As in figure 6 of Raghu et al. (2016): ``MLP`` of width 100 with hard-tanh and weights of variance
2 / n_in; and the same with its rectifiers.  All other layers stay as they are drawn, the head too;
of one seed, all fits start from the same network, and all train alike on the first images.  Depth
and the length of the training are not published; here there are 8 hidden layers, and a short and a
long training.  The layers between the first and the head have equally many weights: rank
correlations of accuracy and depth are of these, as in the paper.  Needs mnist.npz in the folder
that SKLSTRUCT_DATA names.  Results go to one_layer.csv, one row a fit; ``--picture`` draws them.

M. Raghu, B. Poole, J. Kleinberg, S. Ganguli and J. Sohl-Dickstein. Survey of expressivity in deep
neural networks. arXiv:1611.08083, 2016.
"""

import argparse
import time
from functools import partial
from itertools import product

import matplotlib.pyplot as plt
import pandas as pd
from common import HERE, merge_csv
from scipy.stats import spearmanr
from sklstruct_reference_nets.mlp import MLP
from torch import nn

from sklstruct import StructuredClassifier
from sklstruct.datasets import fetch_mnist

DEPTH, WIDTH, VARIANCE = 8, 100, 2
SCORES = ["train_accuracy", "test_accuracy"]
TRAINING = {
    "optimizer": "adam",
    "schedule": "constant",
    "lr": 0.001,
    "batch_size": 100,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
}


ACTIVATIONS = {"hard-tanh": nn.Hardtanh, "rectifier": nn.ReLU}


def random_network(name, in_shape, n_outputs):
    """Return the network with an activation."""
    network = MLP(widths=(WIDTH,) * DEPTH, dropout=0.0).build(in_shape, n_outputs)
    for part in network.stages.hidden:
        if isinstance(part, nn.Sequential):  # no dropout
            part[1] = ACTIVATIONS[name]()
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=(VARIANCE / layer.in_features) ** 0.5)
            nn.init.zeros_(layer.bias)
    return network


def layers():
    """Return the names of the layers, from the first to the head."""
    network = random_network("rectifier", (1, 28, 28), 10)
    return [key for key, part in network.named_modules() if isinstance(part, nn.Linear)]


def fit(data, name, seed, depth, layer, images, max_epochs):
    """Return the row of one layer."""
    X, y = data.X[:images], data.y[:images]
    start = time.perf_counter()
    model = StructuredClassifier(
        architecture=partial(random_network, name),
        train_layers=[layer],
        max_epochs=max_epochs,
        random_state=seed,
        **TRAINING,
    ).fit(X, y)
    learned = model.net_.module_.get_submodule(layer)
    return {
        "network": name,
        "seed": seed,
        "depth": depth,
        "layer": layer,
        "n_learned": sum(values.numel() for values in learned.parameters()),
        "n_images": images,
        "max_epochs": max_epochs,
        "train_accuracy": 100 * model.score(X, y),
        "test_accuracy": 100 * model.score(data.X_test, data.y_test),
        "seconds": time.perf_counter() - start,
    }


def report(table):
    """Print means by layer, and how accuracy goes with depth for each seed."""
    means = table.groupby(["network", "max_epochs", "depth"])[SCORES].agg(["mean", "std"])
    print(means.round(1).to_string())
    between = table[table["depth"].between(1, DEPTH - 1)]
    for (name, epochs, seed), rows in between.groupby(["network", "max_epochs", "seed"]):
        ranks = [spearmanr(rows["depth"], rows[score]).statistic for score in SCORES]
        best = [rows.loc[rows[score].idxmax(), "depth"] for score in SCORES]
        print(
            f"{name}, {epochs} epochs, seed {seed}: rank correlation with depth {ranks[0]:.2f} "
            f"(test {ranks[1]:.2f}), best layer {best[0]} (test {best[1]})"
        )


def draw(table, path):
    """Draw accuracy by the layer that learns, a line a seed and their mean."""
    lengths = sorted(table["max_epochs"].unique())
    figure, panels = plt.subplots(
        *(len(lengths), 2), figsize=(9, 3 * len(lengths)), sharey=True, layout="constrained"
    )
    for row, epochs in zip(panels.reshape(-1, 2), lengths, strict=True):
        for panel, score in zip(row, SCORES, strict=True):
            for colour, name in enumerate(ACTIVATIONS):
                chosen = table[(table["network"] == name) & (table["max_epochs"] == epochs)]
                lines = chosen.pivot(index="depth", columns="seed", values=score)
                panel.plot(lines, color=f"C{colour}", alpha=0.25, linewidth=1)
                panel.plot(lines.mean(axis=1), color=f"C{colour}", marker="o", label=name)
            panel.set(title=f"{score.replace('_', ' ')} in %, {epochs} epochs", xlabel="layer")
    panels.flat[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, default=10000, help="to train on")
    parser.add_argument("--max-epochs", default="2,20")
    parser.add_argument("--picture", help="file for the figure")
    args = parser.parse_args()
    data = fetch_mnist()
    keys = "network", "max_epochs", "n_images", "seed", "depth"
    lengths = [int(length) for length in args.max_epochs.split(",")]
    for seed, max_epochs, name in product(range(args.seeds), lengths, ACTIVATIONS):
        rows = [
            fit(data, name, seed, depth, layer, args.images, max_epochs)
            for depth, layer in enumerate(layers())
        ]
        merge_csv("one_layer.csv", pd.DataFrame(rows), keys, float_format="%.5g")
        print(f"{name}, {max_epochs} epochs, seed {seed}", flush=True)
    table = pd.read_csv(HERE / "one_layer.csv")
    report(table)
    if args.picture:
        draw(table, args.picture)


if __name__ == "__main__":
    main()
