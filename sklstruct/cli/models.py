"""``sklstruct fit | predict | score``: one model, in a file."""

from __future__ import annotations

import argparse
from typing import Any

from .common import (
    Commands,
    add_command,
    add_set,
    adder,
    aligned,
    at_least,
    by_x,
    check_writable,
    write_csv,
)
from .data import Samples, add_samples, read
from .model_files import add_model, check_kept, keep, make_model, read_fitted
from .scans import (
    add_scans,
    add_target,
    add_volume_options,
    check_volume_options,
    volume_params,
)
from .scores import check_labels, scores_of
from .seen import kept_marks, trained_on
from .specs import one_spec
from .ways import Ways


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    add_fit(commands)
    add_predict(commands)
    add_score(commands)


def add_fit(commands: Commands) -> None:
    """Add the command that trains."""
    parser = add_command(commands, "fit", fit)
    ways = Ways(parser)
    way = ways.add("--dataset", "--data", run=fit, dest="data", metavar="DATA")
    way.add("--size", type=at_least(1), metavar="N")
    way = ways.add("--cohort", run=fit, check=check_volume_options, metavar="FOLDER")
    add_target(way.add)
    add_scans(way.add)
    add_volume_options(way.add)
    add = adder(parser)
    add("--estimator", required=True, type=one_spec, metavar="NAME")
    add_set(add)
    add("--seed", type=at_least(0), default=0, metavar="N")
    add("--out", required=True, metavar="FILE")
    add("--allow-pickle", action="store_true")
    add("-v", "--verbose", action="store_true")


def add_predict(commands: Commands) -> None:
    """Add the command that predicts."""
    parser = add_command(commands, "predict", predict)
    add_samples(parser, predict)
    add = adder(parser)
    add_model(add)
    add("--proba", action="store_true")
    add("--out", metavar="FILE")


def add_score(commands: Commands) -> None:
    """Add the command that scores."""
    parser = add_command(commands, "score", score)
    add_target(add_samples(parser, score).add)
    add = adder(parser)
    add_model(add)
    add("--positive", metavar="LABEL")


def fit(args: argparse.Namespace) -> None:
    """Train an estimator and write it to a file."""
    from ..estimators.volumes import last_step, on_paths
    from ..studies.fitting import group_params

    model = make_model(args)
    if args.cohort is not None:  # one file knows how to read scans
        model = on_paths(model, **volume_params(args))
    check_kept(model, args.out, args.allow_pickle)  # known before a long training
    samples = training_samples(args, model) if args.cohort is None else read(args, labelled=True)
    check_labels(last_step(model), samples.y)
    # Scans of a subject, or frames of a track, stay together where a model holds samples out.
    groups = {} if samples.groups is None else group_params(model, samples.groups)
    model.fit(samples.X, samples.y, **groups)
    last_step(model).trained_on_ = kept_marks(samples)  # of all fitted attributes, files keep it
    volumes = getattr(model[0] if hasattr(model, "steps") else model, "shape_", None)
    layout = getattr(last_step(model), "layout_", None)
    words = samples.words + ("" if volumes is None else f", {by_x(volumes)}")
    keep(model, args, words + ("" if layout is None else f", read as {layout}"))


def training_samples(args: argparse.Namespace, model: Any) -> Samples:
    """Return the training part of a data set, or the first draw of a study with this seed."""
    import numpy as np
    from sklearn.base import is_classifier

    from ..io import load_dataset
    from ..studies.draws import stratified_order

    data, size = load_dataset(args.data), args.size
    X, y, groups = data.X, data.y, data.groups
    if size is not None:
        # Values of a regressor have no strata, nor have maps.
        strata = y if is_classifier(model) and not data.has_maps else np.zeros(len(y))
        classes, numbers = np.unique(strata, return_inverse=True)
        if not len(classes) <= size <= len(y):
            raise ValueError(
                f"--size must be from {len(classes)}, one sample a class, to {len(y)}, got {size}."
            )
        # As in a study: what was studied can be trained again.
        chosen = stratified_order(numbers, np.random.default_rng([args.seed, 0]))[:size]
        X, y = X[chosen], y[chosen]
        groups = None if groups is None else groups[chosen]
    words = f"{len(y)} of {args.data}, {by_x(data.sample_shape)}"
    return Samples({}, X, y, groups, words)


def predict(args: argparse.Namespace) -> None:
    """Print predictions as CSV, or write them to a file."""
    model = read_fitted(args)
    if getattr(model, "_dense", False):
        name = type(model).__name__
        raise ValueError(f"{name} in {args.model} predicts maps, which are no rows of a table.")
    if args.proba and not hasattr(model, "predict_proba"):
        raise ValueError(f"{type(model).__name__} in {args.model} gives no probabilities.")
    if args.out:
        check_writable(args.out)
    samples = read(args, labelled=False)
    step, X = volumes_of(model, samples.X)
    # Each as its readers know it: tables of cohorts have the names of a study.
    name = "prediction" if args.cohort is None else "predicted"
    columns = {**samples.names, name: step.predict(X).tolist()}
    if args.proba or (args.cohort is not None and hasattr(step, "predict_proba")):
        names = [f"p_{label}" for label in step.classes_.tolist()]
        columns |= dict(zip(names, step.predict_proba(X).T.tolist(), strict=True))
    write_csv([[*columns], *zip(*columns.values(), strict=True)], args.out)


def score(args: argparse.Namespace) -> None:
    """Print how good the predictions of a model are."""
    model = read_fitted(args)
    samples = read(args, labelled=True)
    scores = scores_of(*volumes_of(model, samples.X), samples.y, args.positive)
    rows = [("data", samples.words), *trained_on(model, samples), *scores.items()]
    print(aligned(rows))


def volumes_of(model: Any, X: Any) -> tuple[Any, Any]:
    """Return what predicts and what it takes, so that scans are read once for all it predicts."""
    from ..estimators.volumes import last_step

    step = last_step(model)
    return step, X if step is model else model[:-1].transform(X)
