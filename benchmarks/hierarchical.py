"""Do ordered channels pay on few images?  Hierarchical attribute CNNs on 1000 of CIFAR-10.

``choose``: the recipe, for all networks alike, on other draws: from the first 40000 training
images, validated on 2000 of the last 10000.  Rows go to hierarchical_recipes.csv.

``accuracy``: stratified draws that are the same for all networks, flips and shifts, one recipe and
budget, tested once on the 10000 test images: the small network, ResNet-20, All-CNN of half the
width, and the same of low rank with as many parameters as the first; and variants of the small
network: without the nonlinearity between its factors, by their number Q, and with attributes that
go round.  Rows go to hierarchical.csv, and differences with intervals are printed.

Needs cifar10.npz in the folder that SKLSTRUCT_DATA names.
"""

import argparse
from pathlib import Path

from common import append_csv, merge_csv
from sklearn.model_selection import train_test_split
from sklstruct_reference_nets.all_cnn import AllCNN

from sklstruct import FrameResNetClassifier, HierarchicalCNNClassifier, StructuredClassifier
from sklstruct.io import load_dataset
from sklstruct.studies import compare, format_summary, limited_data

REFERENCE = "HCNN+ (Q 16)"
RECIPES = {
    "AdamW, 0.003": {"lr": 0.003},
    "AdamW, 0.01": {"lr": 0.01},
    "AdamW, 0.03": {"lr": 0.03},
}
RECIPE = {"lr": 0.003, "max_epochs": 100}


def networks(**recipe):
    """Return the networks by name, trained by one recipe."""
    recipe = {"augment": "crops", "optimizer": "adamw", "weight_decay": 0.05} | RECIPE | recipe
    recipe |= {"batch_size": 25, "schedule": "one-cycle", "label_smoothing": 0.1}
    n_parameters = HierarchicalCNNClassifier().build((3, 32, 32), 10)
    n_parameters = sum(weights.numel() for weights in n_parameters.parameters())
    low_rank = AllCNN(preset="all-cnn-c", width=48, norm=True, n_parameters=n_parameters)
    whole = AllCNN(preset="all-cnn-c", width=48, norm=True)
    plain = {"intermediate_nonlinearity": False}
    return {
        REFERENCE: HierarchicalCNNClassifier(**recipe),
        "ResNet-20": FrameResNetClassifier(depth=20, frame="pixel", **recipe),
        "All-CNN, low rank": StructuredClassifier(architecture=low_rank, **recipe),
        "All-CNN, half as wide": StructuredClassifier(architecture=whole, **recipe),
        "HCNN (Q 16)": HierarchicalCNNClassifier(**plain, **recipe),
        "HCNN (Q 9)": HierarchicalCNNClassifier(**plain, n_factors=9, **recipe),
        "HCNN (Q 32)": HierarchicalCNNClassifier(**plain, n_factors=32, **recipe),
        "HCNN (Q 16, periodic)": HierarchicalCNNClassifier(**plain, boundary="periodic", **recipe),
    }


def choose(args):
    data = load_dataset("cifar10")
    X_val, y_val = data.X[40000:], data.y[40000:]
    X_val, _, y_val, _ = train_test_split(X_val, y_val, train_size=2000, random_state=0)
    for seed in range(1000, 1000 + args.draws):
        X, _, y, _ = train_test_split(
            data.X[:40000],
            data.y[:40000],
            train_size=args.size,
            stratify=data.y[:40000],
            random_state=seed,
        )
        for name, recipe in RECIPES.items():
            for network, model in networks(**recipe, max_epochs=args.epochs).items():
                if network in args.only.split(";"):
                    model.set_params(random_state=seed).fit(X, y)
                    row = {"recipe": name, "network": network, "epochs": args.epochs}
                    row |= {"size": args.size, "draw": seed, "accuracy": model.score(X_val, y_val)}
                    append_csv("hierarchical_recipes.csv", row)


def accuracy(args):
    data = load_dataset("cifar10")
    models = networks(max_epochs=args.epochs)
    results = limited_data(
        {name: model for name, model in models.items() if name in args.only.split(";")},
        data.X,
        data.y,
        X_test=data.X_test,
        y_test=data.y_test,
        sizes=[args.size],
        n_draws=args.draws,
        n_jobs=args.n_jobs,
        out=args.work,
    )
    table = results.assign(epochs=args.epochs)
    merge_csv("hierarchical.csv", table, ("estimator", "size", "draw", "epochs"))
    print(format_summary(results))
    if REFERENCE in set(results["estimator"]):
        print(compare(results, REFERENCE, "accuracy").to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["choose", "accuracy"])
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--only", default=";".join(networks()))
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("work/hierarchical"))
    args = parser.parse_args()
    {"choose": choose, "accuracy": accuracy}[args.what](args)
