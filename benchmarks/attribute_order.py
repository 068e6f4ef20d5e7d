"""Is the order of attributes real?  Walks along the channels of networks trained on CIFAR-10.

Networks with 16 attributes and periodic boundaries, smaller than the published one, from several
seeds.  For each depth and shift: the share of walks that stay in the class, among images that the
network has not seen, against random orders of the channels; how localised samples are along the
channels; and how well brightness, colour, orientation and size go along with where they are.  Rows
go to attribute_order.csv, attribute_localisation.csv and attribute_properties.csv, and with
--pictures figures 14 and 15 of the thesis to a folder.

Needs cifar10.npz in the folder that SKLSTRUCT_DATA names.
"""

import argparse
from pathlib import Path

from common import merge_csv
from sklearn.model_selection import train_test_split

from sklstruct import HierarchicalCNNClassifier
from sklstruct.inspection import AttributeOrderDisplay, AttributeWalk
from sklstruct.io import load_dataset


def network(epochs, seed):
    """Return the network, which subsamples space early to learn in minutes."""
    return HierarchicalCNNClassifier(
        n_attributes=16,
        n_factors=16,
        attribute_support=(5, 7),
        strided=(2, 3, 9),
        boundary="periodic",
        intermediate_nonlinearity=False,
        augment="crops",
        lr=0.003,
        max_epochs=epochs,
        random_state=seed,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--walked", type=int, default=5000, help="images of the test set")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--orders", type=int, default=99)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pictures", type=Path)
    args = parser.parse_args()
    data = load_dataset("cifar10")
    seen, labels = data.X_test[: args.walked], data.y_test[: args.walked]
    for seed in range(args.seeds):
        options = {"train_size": args.size, "stratify": data.y, "random_state": seed}
        X, _, y, _ = train_test_split(data.X, data.y, **options)
        model = network(args.epochs, seed).fit(X, y)
        about = {"seed": seed, "size": args.size, "accuracy": model.score(seen, labels)}
        print(about, flush=True)
        walk = AttributeWalk.from_estimator(
            model,
            seen,
            labels,
            queries=args.queries,
            n_permutations=args.orders,
            smoothing=1,
            random_state=seed,
        )
        tables = {
            "attribute_order.csv": (walk.to_frame(), ("seed", "depth", "shift")),
            "attribute_localisation.csv": (walk.localisation(), ("seed", "depth")),
            "attribute_properties.csv": (walk.correlation(), ("seed", "depth", "property")),
        }
        for name, (table, keys) in tables.items():
            merge_csv(name, table.assign(**about), keys, float_format="%.4g")
            print(table.to_string(), flush=True)
        if args.pictures and seed == 0:
            args.pictures.mkdir(parents=True, exist_ok=True)
            walk.plot().save(args.pictures / "walks.png")
            walk.plot(depth=10).save(args.pictures / "arrays.png")
            AttributeOrderDisplay(walk).save(args.pictures / "order.png")


if __name__ == "__main__":
    main()
