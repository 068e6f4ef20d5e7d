"""``sklstruct fit | predict | score``: one model, in a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..estimators.specs import make_estimators, one_spec
from .common import (
    Add,
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
from .data import add_data, add_volumes, check_for_scans, label_of, read, volume_params

if TYPE_CHECKING:
    from ..io import Samples

MOST = 1 << 16  # marks of training samples in a file, half a megabyte


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    add_fit(commands)
    add_predict(commands)
    add_score(commands)


def add_fit(commands: Commands) -> None:
    """Add the command that trains."""
    parser = add_command(commands, "fit", fit)
    add = adder(parser)
    add("--estimator", required=True, type=one_spec, metavar="ESTIMATOR")
    add_set(add)
    add("--seed", type=at_least(0), default=0, metavar="N")
    add("--size", type=at_least(1), metavar="N")
    add("--out", required=True, metavar="FILE")
    add("--allow-pickle", action="store_true")
    add("-v", "--verbose", action="store_true")
    add = adder(parser, "data")
    add_data(add)
    add("--target", metavar="COLUMN")
    add("--groups", metavar="COLUMN")
    add("--no-validation", action="store_true", default=None)
    add_volumes(adder(parser, "volumes of scans"))


def add_predict(commands: Commands) -> None:
    """Add the command that predicts."""
    add = adder(add_command(commands, "predict", predict))
    add_data(add)
    add("--part", choices=("train", "test"))
    add_model(add)
    add("--proba", action="store_true")
    add("--out", metavar="FILE")


def add_score(commands: Commands) -> None:
    """Add the command that scores."""
    add = adder(add_command(commands, "score", score))
    add_data(add)
    add("--part", choices=("train", "test"))
    add("--target", metavar="COLUMN")
    add_model(add)
    add("--positive", metavar="LABEL")


def add_model(add: Add) -> None:
    """Add the options that say what predicts."""
    add("--model", required=True, metavar="FILE")
    add("--allow-pickle", action="store_true")


# Commands ------------------------------------------------------------------------------------


def fit(args: argparse.Namespace) -> None:
    """Train an estimator and write it to a file."""
    volumes = volume_params(args)
    (estimator,) = make_estimators([args.estimator], dict(args.set)).values()
    import numpy as np

    from ..estimators.persistence import is_storable, save_model
    from ..estimators.volumes import last_step, on_paths
    from ..io.leakage import sample_marks
    from ..studies.fitting import group_params, seeded
    from ..studies.study import check_parameters
    from ..studies.tasks import task_of

    if not hasattr(estimator, "predict"):
        name = type(last_step(estimator)).__name__
        raise TypeError(f"{name} predicts nothing, so there is no model to keep.")
    check_parameters(estimator)
    is_storable(estimator, args.allow_pickle)
    check_writable(args.out)
    if args.verbose and "verbose" in estimator.get_params():
        estimator.set_params(verbose=1)

    def known(samples: Samples) -> None:
        check_for_scans(args, samples)
        task_of(samples.y, {args.estimator.label: estimator})

    samples = read(args, known=known).part("train")
    model = seeded(on_paths(estimator, **volumes) if samples.scans else estimator, args.seed)
    samples = samples if args.size is None else first_draw(samples, args.size, model, args.seed)
    # Scans of a subject, or frames of a track, stay together where a model holds samples out.
    model.fit(samples.X, samples.y, **group_params(model, samples.groups))
    step = last_step(model)
    # Of all fitted attributes, files keep these: the smallest, whatever the order of samples was.
    step.trained_on_ = np.unique(sample_marks(samples.X))[:MOST]
    save_model(model, args.out, allow_pickle=args.allow_pickle)
    volumes_shape = getattr(model[0] if hasattr(model, "steps") else model, "shape_", None)
    words = samples.words + ("" if volumes_shape is None else f", {by_x(volumes_shape)}")
    layout = getattr(step, "layout_", None)
    numbers = {
        "samples": words + ("" if layout is None else f", read as {layout}"),
        "parameters": getattr(step, "n_parameters_", None),
        "training loss": (getattr(step, "loss_curve_", None) or [None])[-1],
        "written to": args.out,
    }
    print(aligned([item for item in numbers.items() if item[1] is not None]))


def predict(args: argparse.Namespace) -> None:
    """Print predictions as CSV, or write them to a file."""
    from ..studies.tasks import in_one_pass, is_dense

    model, fits = read_fitted(args)
    if is_dense(model):
        name = type(model).__name__
        raise ValueError(f"{name} in {args.model} predicts maps, which are no rows of a table.")
    if args.proba and not hasattr(model, "predict_proba"):
        raise ValueError(f"{type(model).__name__} in {args.model} gives no probabilities.")
    if args.out:
        check_writable(args.out)
    samples = read(args, labels=False, known=fits).part(args.part)
    step, X = in_one_pass(model, samples.X)  # so that scans are read once
    # Each as its readers know it: tables of cohorts have the names of a study.
    name = "predicted" if samples.scans else "prediction"
    columns = {**samples.names, name: step.predict(X).tolist()}
    if args.proba or (samples.scans and hasattr(step, "predict_proba")):
        names = [f"p_{label}" for label in step.classes_.tolist()]
        columns |= dict(zip(names, step.predict_proba(X).T.tolist(), strict=True))
    write_csv([[*columns], *zip(*columns.values(), strict=True)], args.out)


def score(args: argparse.Namespace) -> None:
    """Print how good the predictions of a model are."""
    model, fits = read_fitted(args)
    from ..studies import score_model
    from ..studies.text import name_of

    samples = read(args, known=fits).part(args.part)
    positive = label_of(samples.y, args.positive, "positive")
    scores = score_model(model, samples.X, samples.y, positive)
    shown = [(name_of(name), f"{value:.4f}") for name, value in scores.items()]
    print(aligned([("data", samples.words), *trained_on(model, samples), *shown]))


# What they share -----------------------------------------------------------------------------


def read_fitted(args: argparse.Namespace) -> tuple[Any, Callable[[Samples], None]]:
    """Return the model of the arguments, and what raises if it does not take some samples."""
    from ..estimators.persistence import load_model
    from ..estimators.volumes import takes_paths

    model = load_model(args.model, allow_pickle=args.allow_pickle)

    def check(samples: Samples) -> None:
        # A model of arrays would take paths for samples, and say something of them.
        kinds, takes = ("arrays", "scans"), takes_paths(model)
        if takes != samples.scans:
            raise ValueError(
                f"{args.model} holds a model of {kinds[takes]}, and {args.data} has "
                f"{kinds[samples.scans]}."
            )

    return model, check


def first_draw(samples: Samples, size: int, model: Any, seed: int) -> Samples:
    """Return the training samples of the first draw of a study with this seed."""
    from ..studies import Draws
    from ..studies.data import StudyData
    from ..studies.tasks import task_of

    # With all samples to draw from, as where a study has test samples of its own.
    task = task_of(samples.y, {"model": model}).name
    data = StudyData(samples.X, samples.y, task, X_test=samples.X, y_test=samples.y)
    least, most = len(data.classes) or 1, len(samples)
    if not least <= size <= most:
        raise ValueError(f"--size must be from {least}, one sample a class, to {most}, got {size}.")
    return samples.take(Draws([size], n_draws=1).order(data, 0, seed).train[:size])


def trained_on(model: Any, samples: Samples) -> list[tuple[str, str]]:
    """Return a row that says how many samples the model has been trained on, if that is known."""
    import numpy as np

    from ..estimators.volumes import last_step
    from ..io.leakage import sample_marks

    kept = getattr(last_step(model), "trained_on_", None)
    if kept is None:
        return []
    known = np.count_nonzero(np.isin(sample_marks(samples.X), kept))
    least = "at least " if known and len(kept) == MOST else ""
    warning = ", so that this is no test" if known else ""
    return [("trained on", f"{least}{known} of these {len(samples.X)}{warning}")]
