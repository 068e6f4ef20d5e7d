"""``sklstruct fit | predict | score``: one model, in a file."""

from __future__ import annotations

import argparse
from typing import Any

from . import cohort_models
from .common import (
    Commands,
    Run,
    add_command,
    add_set,
    aligned,
    at_least,
    by_x,
    check_writable,
    write_csv,
)
from .data import read_labelled, read_samples
from .model_files import UNSAFE, add_allow_pickle, check_kept, keep, make_model, read_model
from .scores import scores_of
from .specs import parse_specs
from .ways import Ways, usage

DATA = "a name, an .npz file or a folder"


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
        "sklstruct fit --estimator rfnin --cohort adni --target diagnosis --spacing 3 \\\n"
        "      --out model.skl",
        usage=usage(
            "--dataset DATA",
            "--cohort FOLDER --target COLUMN",
            all_need="--estimator NAME --out FILE",
        ),
    )
    ways = Ways(parser)
    way = ways.add("--dataset", fit, metavar="DATA", help=DATA)
    purpose = "number of training samples, drawn stratified"
    way.add("--size", type=at_least(1), metavar="N", help=purpose)
    cohort_models.add_fit(ways)
    add = parser.add_argument
    purpose = "a name, perhaps with parameters: rfnn:frame=pixel"
    add("--estimator", required=True, type=one_spec, metavar="NAME", help=purpose)
    add_set(parser, "set a parameter; may be repeated")
    purpose = "decides the draw and the training, 0 if left out"
    add("--seed", type=at_least(0), default=0, metavar="N", help=purpose)
    add("--out", required=True, metavar="FILE", help="file for the model")
    add_allow_pickle(parser, UNSAFE.format("write", "nobody should load such a file of a stranger"))
    add("-v", "--verbose", action="store_true", help="print a line an epoch")


def add_predict(commands: Commands) -> None:
    """Add the command that predicts."""
    parser = add_command(
        commands,
        "predict",
        predict,
        "predict labels with a model from a file",
        "sklstruct predict --model model.skl --data images/ --proba --out predictions.csv",
        "sklstruct predict --model model.skl --cohort adni --out predictions.csv",
        usage=usage("--data DATA", "--cohort FOLDER", all_need="--model FILE"),
    )
    ways = Ways(parser)
    add_data(ways, predict)
    cohort_models.add_predict(ways)
    add_model(parser)
    purpose = "add the probabilities of the classes; with --cohort they are there anyway"
    parser.add_argument("--proba", action="store_true", help=purpose)
    parser.add_argument("--out", metavar="FILE", help="CSV file; standard output if left out")


def add_score(commands: Commands) -> None:
    """Add the command that scores."""
    parser = add_command(
        commands,
        "score",
        score,
        "tell how well a model from a file predicts labels",
        "sklstruct score --model model.skl --data mnist --part test",
        "sklstruct score --model model.skl --cohort adni --target diagnosis",
        usage=usage("--data DATA", "--cohort FOLDER --target COLUMN", all_need="--model FILE"),
    )
    ways = Ways(parser)
    add_data(ways, score)
    cohort_models.add_score(ways)
    add_model(parser)


def add_data(ways: Ways, run: Run) -> None:
    """Add the options that say which samples of a data set are meant."""
    way = ways.add("--data", run, help=DATA)
    way.add("--part", choices=("train", "test"), help="part of the data; test where there is one")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what predicts."""
    parser.add_argument("--model", required=True, metavar="FILE", help="what fit has written")
    add_allow_pickle(parser)


def one_spec(text: str) -> Any:
    """Return the only estimator of a text."""
    specs = parse_specs(text)
    if len(specs) != 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be one estimator, got {len(specs)}")
    return specs[0]


# Training -----------------------------------------------------------------------------------


def fit(args: argparse.Namespace) -> None:
    """Train an estimator and write it to a file."""
    from ..io import load_dataset

    model = make_model(args)
    check_kept(model, args.out, args.allow_pickle)  # known before a long training
    data = load_dataset(args.dataset)
    X, y = data.X, data.y
    if args.size is not None:
        # The first draw of a study with this seed: what was studied can be trained again.
        chosen = draw(y, args.size, args.seed, model)
        X, y = X[chosen], y[chosen]
    keep(model.fit(X, y), args, f"{len(y)} of {args.dataset}, {by_x(data.sample_shape)}")


def draw(y: Any, size: int, seed: int, model: Any) -> Any:
    """Return the samples of a training set, that of the first draw of a study with this seed."""
    import numpy as np
    from sklearn.base import is_classifier

    from ..studies.draws import stratified_order

    # Values of a regressor have no strata.
    classes, numbers = np.unique(
        y if is_classifier(model) else np.zeros(len(y)), return_inverse=True
    )
    if not len(classes) <= size <= len(y):
        raise ValueError(
            f"--size must be from {len(classes)}, one sample a class, to {len(y)}, got {size}."
        )
    return stratified_order(numbers, np.random.default_rng([seed, 0]))[:size]


# Prediction ---------------------------------------------------------------------------------


def predict(args: argparse.Namespace) -> None:
    """Print predictions as CSV, or write them to a file."""
    model = read_model(args.model, args.allow_pickle)
    check_arrays(model, args.model)
    if args.proba and not hasattr(model, "predict_proba"):
        raise ValueError(f"{type(model).__name__} in {args.model} gives no probabilities.")
    if args.out:
        check_writable(args.out)
    names, X = read_samples(args.data, args.part)
    header, columns = ["sample", "prediction"], [names, model.predict(X).tolist()]
    if args.proba:
        header += [f"p_{label}" for label in model.classes_.tolist()]
        columns += model.predict_proba(X).T.tolist()
    write_csv([header, *zip(*columns, strict=True)], args.out)


def score(args: argparse.Namespace) -> None:
    """Print how good the predictions of a model are."""
    model = read_model(args.model, args.allow_pickle)
    check_arrays(model, args.model)
    X, y, samples = read_labelled(args.data, args.part)
    print(aligned([("data", samples), *scores_of(model, X, y).items()]))


def check_arrays(model: Any, path: str) -> None:
    """Raise a ValueError if a model takes scans and no arrays."""
    from ..estimators.volumes import takes_paths

    if takes_paths(model):
        raise ValueError(f"{path} holds a model of scans: give it --cohort, not --data.")
