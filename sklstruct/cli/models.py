"""``sklstruct fit | predict | score``: one model, in a file."""

from __future__ import annotations

import argparse
import csv
import sys
import zipfile
from typing import Any

from .common import Commands, add_command, add_set, aligned, at_least, by_x, check_writable
from .data import read_labelled, read_samples
from .specs import make_estimators, parse_specs

UNSAFE = "also {} estimators that are no networks, by pickle: {}"


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    add_fit(commands)
    add_predict(commands)
    add_score(commands)


def add_fit(commands: Commands) -> None:
    """Add the command that trains."""
    parser = add_command(
        commands,
        "fit",
        fit,
        "train an estimator and write it to a file",
        "sklstruct fit --estimator rfnn:frame=gaussian --dataset digits --size 300 --out model.skl",
    )
    parser.add_argument(
        "--estimator",
        required=True,
        type=one_spec,
        metavar="NAME",
        help="a name, perhaps with parameters: rfnn:frame=pixel",
    )
    parser.add_argument("--dataset", required=True, help="a name, an .npz file or a folder")
    add_set(parser, "set a parameter; may be repeated")
    parser.add_argument(
        "--size", type=at_least(1), metavar="N", help="number of training samples, drawn stratified"
    )
    parser.add_argument(
        "--seed",
        type=at_least(0),
        default=0,
        metavar="N",
        help="decides the draw and the training, 0 if left out",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="file for the model")
    add_allow_pickle(parser, UNSAFE.format("write", "nobody should load such a file of a stranger"))
    parser.add_argument("-v", "--verbose", action="store_true", help="print a line an epoch")


def add_predict(commands: Commands) -> None:
    """Add the command that predicts."""
    parser = add_command(
        commands,
        "predict",
        predict,
        "predict labels with a model from a file",
        "sklstruct predict --model model.skl --data images/ --proba --out predictions.csv",
    )
    add_model_and_data(parser)
    parser.add_argument("--proba", action="store_true", help="add the probabilities of the classes")
    parser.add_argument("--out", metavar="FILE", help="CSV file; standard output if left out")


def add_score(commands: Commands) -> None:
    """Add the command that scores."""
    parser = add_command(
        commands,
        "score",
        score,
        "tell how well a model from a file predicts labels",
        "sklstruct score --model model.skl --data mnist --part test",
    )
    add_model_and_data(parser)


def add_model_and_data(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what predicts what."""
    parser.add_argument("--model", required=True, metavar="FILE", help="what fit has written")
    parser.add_argument("--data", required=True, help="a name, an .npz file or a folder")
    parser.add_argument(
        "--part", choices=("train", "test"), help="part of the data; test where there is one"
    )
    add_allow_pickle(
        parser, UNSAFE.format("load", "such a file can do anything, load none of a stranger")
    )


def add_allow_pickle(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add the option without which nothing is ever unpickled."""
    parser.add_argument("--allow-pickle", action="store_true", help=purpose)


def one_spec(text: str) -> Any:
    """Return the only estimator of a text."""
    specs = parse_specs(text)
    if len(specs) != 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be one estimator, got {len(specs)}")
    return specs[0]


# Training -----------------------------------------------------------------------------------


def fit(args: argparse.Namespace) -> None:
    """Train an estimator and write it to a file."""
    (estimator,) = make_estimators([args.estimator], dict(args.set)).values()
    from sklearn.base import is_classifier

    from ..io import load_dataset
    from ..studies.limited_data import seeded

    check_fit(estimator, args)
    if args.verbose and "verbose" in estimator.get_params():
        estimator.set_params(verbose=1)
    data = load_dataset(args.dataset)
    X, y = data.X, data.y
    if args.size is not None:
        chosen = draw(y, args.size, args.seed, stratified=is_classifier(estimator))
        X, y = X[chosen], y[chosen]
    seeded(estimator, args.seed).fit(X, y)
    write_model(estimator, args.out)
    numbers = {
        "samples": f"{len(y)} of {args.dataset}, {by_x(data.sample_shape)}",
        "parameters": getattr(estimator, "n_parameters_", None),
        "training loss": (getattr(estimator, "loss_curve_", None) or [None])[-1],
        "written to": args.out,
    }
    print(aligned([item for item in numbers.items() if item[1] is not None]))


def check_fit(estimator: Any, args: argparse.Namespace) -> None:
    """Raise before a long fit if there would be nothing to keep of it."""
    name = type(estimator).__name__
    if not hasattr(estimator, "predict"):
        raise TypeError(f"{name} predicts nothing, so there is no model to keep.")
    if is_network(estimator):
        from ..estimators.persistence import describe

        describe(estimator, [])
    elif not args.allow_pickle:
        raise TypeError(
            f"{name} is no network, and can be kept as a pickle only, which is not safe to share: "
            "allow that with --allow-pickle."
        )
    check_writable(args.out)


def draw(y: Any, size: int, seed: int, stratified: bool) -> Any:
    """Return the samples of a training set, that of the first draw of a study with this seed."""
    import numpy as np

    from ..studies.draws import stratified_order

    classes, numbers = np.unique(y if stratified else np.zeros(len(y)), return_inverse=True)
    if not len(classes) <= size <= len(y):
        raise ValueError(
            f"--size must be from {len(classes)}, one sample a class, to {len(y)}, got {size}."
        )
    return stratified_order(numbers, np.random.default_rng([seed, 0]))[:size]


# Prediction ---------------------------------------------------------------------------------


def predict(args: argparse.Namespace) -> None:
    """Print predictions as CSV, or write them to a file."""
    from ..io import atomic_write

    model = read_model(args.model, args.allow_pickle)
    if args.proba and not hasattr(model, "predict_proba"):
        raise ValueError(f"{type(model).__name__} in {args.model} gives no probabilities.")
    if args.out:
        check_writable(args.out)
    names, X = read_samples(args.data, args.part)
    header, columns = ["sample", "prediction"], [names, model.predict(X).tolist()]
    if args.proba:
        header += [f"p_{label}" for label in model.classes_.tolist()]
        columns += model.predict_proba(X).T.tolist()
    rows = [header, *zip(*columns, strict=True)]
    if not args.out:
        write_csv(sys.stdout, rows)
        return
    with atomic_write(args.out) as stream:
        write_csv(stream, rows)


def write_csv(stream: Any, rows: Any) -> None:
    """Write rows as CSV."""
    csv.writer(stream, lineterminator="\n").writerows(rows)


def score(args: argparse.Namespace) -> None:
    """Print how good the predictions of a model are."""
    from sklearn.base import is_classifier

    model = read_model(args.model, args.allow_pickle)
    X, y, samples = read_labelled(args.data, args.part)
    numbers = class_scores(model, X, y) if is_classifier(model) else value_scores(model, X, y)
    print(aligned([("data", samples), *numbers.items()]))


def class_scores(model: Any, X: Any, y: Any) -> dict[str, str]:
    """Return how good predicted classes are."""
    from ..studies.limited_data import score

    unknown = sorted(set(y.tolist()) - set(model.classes_.tolist()), key=str)
    if unknown:
        raise ValueError(
            f"The data has labels {unknown} that are not among the classes "
            f"{model.classes_.tolist()} of the model."
        )
    scores = score(model, X, y, model.predict(X), model.classes_)
    return {
        "accuracy": f"{100 * scores['accuracy']:.2f} %",
        "balanced accuracy": f"{100 * scores['balanced_accuracy']:.2f} %",
        "log loss": f"{scores['log_loss']:.4g}",
    }


def value_scores(model: Any, X: Any, y: Any) -> dict[str, str]:
    """Return how good predicted values are."""
    from sklearn.metrics import r2_score, root_mean_squared_error

    predicted = model.predict(X)
    return {
        "R2": f"{r2_score(y, predicted):.4f}",
        "root mean squared error": f"{root_mean_squared_error(y, predicted):.4g}",
    }


# Files --------------------------------------------------------------------------------------


def is_network(estimator: Any) -> bool:
    """Whether an estimator can be kept in a model file that is safe to share."""
    from ..estimators.base import NetworkEstimator

    return isinstance(estimator, NetworkEstimator)


def write_model(estimator: Any, path: str) -> None:
    """Write a network to a model file, and anything else as a pickle."""
    if is_network(estimator):
        from ..estimators.persistence import save_model

        save_model(estimator, path)
        return
    import joblib

    from ..io import atomic_write

    with atomic_write(path, "wb") as stream:
        joblib.dump(estimator, stream)


def read_model(path: str, allow_pickle: bool) -> Any:
    """Return the estimator in a model file or, if that is allowed, in a pickle."""
    with open(path, "rb") as stream:
        safe = zipfile.is_zipfile(stream)
    if safe:
        from ..estimators.persistence import load_model

        return load_model(path)
    if not allow_pickle:
        raise ValueError(f"{path} is no sound model file (a pickle needs --allow-pickle).")
    import joblib

    try:
        return joblib.load(path)
    except Exception as error:  # a damaged pickle fails in any way
        raise ValueError(f"{path} is not a sound pickle of a model: {error}") from error
