"""Measure what is said of the filters of plain convolutional networks, on images of CIFAR-10.

Learned filters are smooth: how much of them 1, 3, 6 and 10 Gaussian derivatives explain, by layer,
beside the same network before its training, the same values in another order, and noise.  First
layers are alike: the similarity of the filters of every two networks, beside that of the untrained
ones and of permuted filters.  Early layers pick up orientation and almost no colour, later ones
colour: medians of selectivity by layer.  A network has as many fits as there are seeds, each to
other images.  Needs cifar10.npz in the folder that SKLSTRUCT_DATA names.  Results go to inside.csv,
one row for each layer of a network before and after its training, and to inside_pairs.csv, one for
two networks.
"""

import argparse
from itertools import product

import numpy as np
import pandas as pd
from common import merge_csv
from sklearn.base import clone

from sklstruct import FrameResNetClassifier, RFNNClassifier, StructuredClassifier
from sklstruct.inspection import convolutions, match_filters, selectivity, similarity_to_frame
from sklstruct.io import load_dataset

N_TEST, N_SEEN, N_FIRST = 2000, 500, 100
N_ATOMS = (1, 3, 6, 10)
STATES = "start", "trained"


def networks():
    plain = {name: StructuredClassifier(architecture=name) for name in ("alexnet_small", "nin")}
    return {
        "rfnn pixel 7x7": RFNNClassifier(frame="pixel", widths=(32, 32, 32)),
        **plain,
        "all_cnn": StructuredClassifier(architecture="all_cnn"),
        "resnet-8": FrameResNetClassifier(frame="pixel", depth=8),
    }


def layers_of(model):
    """Return the names of convolutions wider than one sample, in the order in which they run."""
    return [
        name
        for name, (_, _, *support) in convolutions(model).items()
        if min(support) > 1 and "hidden" not in name and name != "head"
    ]


def shares(model, layers):
    """Return a row a layer: shares of its filters, and of those without structure."""
    table = similarity_to_frame(model, n_atoms=N_ATOMS, layers=layers, n_random=2000)
    rows = {}
    for layer, part in table.groupby("layer", sort=False):
        part = part.set_index("n_atoms")
        rank = part.index[-1]
        rows[layer] = {
            f"{kind}_{k}": part.loc[min(k, rank), kind]
            for kind, k in product(("learned", "permuted", "random"), N_ATOMS)
        }
    return pd.DataFrame(rows).T.rename_axis("layer")


def preferences(model, layers, X):
    """Return a row a layer: medians over its channels, of what they prefer."""
    table = selectivity(model, X, layers=layers, n_untrained=0)
    return table.groupby("layer", sort=False)[["orientation", "grating_colour", "colour"]].median()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="networks, separated by semicolons")
    parser.add_argument("--seeds", type=int, default=3, help="fits, each to other images")
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--max-epochs", type=int, default=12)
    args = parser.parse_args()
    data = load_dataset("cifar10")
    n_train = len(data.X) - N_TEST
    X_test, y_test = data.X[n_train:], data.y[n_train:]
    known, fits = networks(), {}
    for seed, name in product(range(args.seeds), args.only.split(";") if args.only else known):
        some = np.random.default_rng(seed).permutation(n_train)[: args.size]
        X, y = data.X[some], data.y[some]
        model = clone(known[name]).set_params(max_epochs=args.max_epochs, random_state=seed)
        # The same weights before training: a step so small that nothing changes.
        start = clone(model).set_params(max_epochs=1, lr=1e-12).fit(X[:N_FIRST], y[:N_FIRST])
        states = dict(zip(STATES, (start, model.fit(X, y)), strict=True))
        layers = layers_of(model)
        for state, one in states.items():
            table = shares(one, layers).join(preferences(one, layers, X_test[:N_SEEN]))
            described = {"estimator": name, "size": args.size, "seed": seed, "state": state}
            accuracy = one.score(X_test, y_test)
            table = table.assign(**described, depth=range(1, 1 + len(table)), accuracy=accuracy)
            print(name, seed, state, f"accuracy {accuracy:.3f}", flush=True)
            print(table[["learned_6", "permuted_6", "orientation", "colour"]].round(3), flush=True)
            keys = ("estimator", "size", "seed", "state", "layer")
            merge_csv("inside.csv", table.reset_index(), keys, float_format="%.4g")
        for (other, other_seed), other_states in fits.items():
            rows = []
            for state in STATES:
                match = match_filters(other_states[state], states[state], n_random=10)
                found = {"similarity": match.similarity, "permuted": match.permuted.mean()}
                pair = {"first": other, "second": name, "seeds": f"{other_seed}-{seed}"}
                rows.append({**pair, "size": args.size, "state": state, **found})
            keys = ("first", "second", "seeds", "size", "state")
            merge_csv("inside_pairs.csv", rows, keys, float_format="%.4g")
        fits[name, seed] = states


if __name__ == "__main__":
    main()
