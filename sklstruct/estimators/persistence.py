"""Model files that are safe to read, whoever wrote them.

A model file is a zip archive of ``model.json`` and of plain NumPy arrays.  Nothing in it is
pickled, and reading it runs no code of its own: it can only name estimators, frames and
architectures that are installed, and give them parameters and weights.

Of a pipeline it holds all steps.  What they have fitted is enough to predict anywhere: no file
that a parameter names is opened again, and no folder to write to is kept.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from skorch.history import History

from .. import plugins
from ..io.atomic import atomic_write
from .base import NetworkEstimator
from .encoding import Arrays, decode_all, encode_all, registered_name
from .training import seeded_initialisation
from .volumes import steps_of

FORMAT = "sklstruct model"
VERSION = 1
HEADER = "model.json"
HERE_ONLY = ("cache_dir",)  # parameters that nobody must choose for another machine


def save_model(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted network estimator, or a pipeline with one, to a file that is safe to share.

    The state of the optimiser is not kept: training that goes on from a loaded model starts
    with a fresh one.  Neither are folders for caches.

    Parameters
    ----------
    estimator : NetworkEstimator or Pipeline
        Fitted, and of a registered class.  The last step of a pipeline must be a network
        estimator, and those before it of registered classes, such as ``NiftiVolumes``.
    path : str or path-like
        Conventionally with the suffix ``.skl``.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no network estimator.
    ValueError
        If its class is not registered, or a parameter or an attribute cannot be stored.
    OSError
        If the file cannot be written; an earlier one is then left as it was.
    """
    arrays: Arrays = []
    header = {"format": FORMAT, "version": VERSION, **describe(estimator, arrays)}
    for step, part in zip(steps_of(estimator), header.get("steps", [header]), strict=True):
        check_is_fitted(step)
        part["fitted"] = encode_all("attribute", fitted_attributes(step), arrays)
        if isinstance(step, NetworkEstimator):
            part["net"] = encode_all("part of net_", net_state(step.net_), arrays)
    with atomic_write(path, "wb") as stream, zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(HEADER, json.dumps(header))
        for number, array in enumerate(arrays):
            with archive.open(f"{number}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def load_model(path: str | os.PathLike[str]) -> Any:
    """Return the estimator in a model file, on the CPU and ready to predict.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    estimator : NetworkEstimator or Pipeline
        Its predictions on a CPU are those of the estimator that was saved, bit by bit.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no model file or a damaged one, has a later format, or needs a plugin that is
        not installed; the message names the file.
    """
    with open(path, "rb") as stream:
        try:
            archive = zipfile.ZipFile(stream)
            header = json.loads(archive.read(HEADER))
            version = header["version"] if header["format"] == FORMAT else None
        except Exception as error:  # archives are damaged in many ways
            raise ValueError(f"{path} is not a sound model file: {error}") from error
        if version != VERSION:
            raise ValueError(
                f"{path} must be a model file of format {VERSION} to be read by this version of "
                f"sklstruct, got format {version!r}."
            )
        try:
            return restore(header, archive)
        except Exception as error:
            needs = f"{header.get('estimator')} of {header.get('source')}"
            raise ValueError(
                f"{path} holds a model ({needs}) that is damaged or cannot be built here: {error}"
            ) from error


def describe(estimator: Any, arrays: Arrays) -> dict[str, Any]:
    """Return what a model file says of an estimator before it is fitted.

    Raises
    ------
    TypeError, ValueError
        If the estimator cannot be stored: known before a long fit.
    """
    *first, last = steps_of(estimator)
    if not isinstance(last, NetworkEstimator):
        raise TypeError(
            f"A model file can hold network estimators only, {type(last).__name__} is none."
        )
    parts = [describe_step(step, arrays) for step in (*first, last)]
    if not isinstance(estimator, Pipeline):
        return parts[0]
    names = [{"name": name} for name, _ in estimator.steps]
    return {
        "estimator": ", ".join(part["estimator"] for part in parts),
        "source": ", ".join(dict.fromkeys(part["source"] for part in parts)),
        "steps": [name | part for name, part in zip(names, parts, strict=True)],
    }


def describe_step(step: Any, arrays: Arrays) -> dict[str, Any]:
    """Return the class and the parameters of one estimator."""
    registered = registered_name("estimator", type(step))
    if registered is None:
        name = type(step).__name__
        raise ValueError(f"A model file can hold registered estimators only, {name} is none.")
    params = without(step.get_params(deep=False), *HERE_ONLY)
    return {
        "estimator": registered,
        "source": plugins.entries("estimator")[registered].source,
        "params": encode_all("parameter", params, arrays),
    }


def restore(header: dict[str, Any], archive: zipfile.ZipFile) -> Any:
    """Return the estimator that an archive holds."""
    if "steps" not in header:
        return restore_network(header, archive)
    *first, last = header["steps"]
    steps = [(part["name"], restore_step(part, archive)) for part in first]
    return Pipeline([*steps, (last["name"], restore_network(last, archive))])


def restore_network(part: dict[str, Any], archive: zipfile.ZipFile) -> NetworkEstimator:
    """Return a network estimator with its net."""
    make = plugins.lookup("estimator", part["estimator"])
    if not (isinstance(make, type) and issubclass(make, NetworkEstimator)):
        raise ValueError(f"{part['estimator']!r} is no network estimator.")
    estimator = restore_attributes(make, part, archive)
    net = decode_all(part["net"], archive)
    with seeded_initialisation(0):
        module = estimator._build_network(estimator.in_shape_, estimator._n_outputs())
    estimator.net_ = estimator._make_net(module, "cpu")
    estimator.net_.history = History(net["history"])
    module.load_state_dict({name: torch.as_tensor(v) for name, v in net["weights"].items()})
    return estimator


def restore_step(part: dict[str, Any], archive: zipfile.ZipFile) -> Any:
    """Return a step that comes before the network."""
    make = plugins.lookup("estimator", part["estimator"])
    step = restore_attributes(make, part, archive)
    check_is_fitted(step)
    return step


def restore_attributes(make: Any, part: dict[str, Any], archive: zipfile.ZipFile) -> Any:
    """Return an estimator with the parameters and the attributes that a file has of it."""
    estimator = make(**without(decode_all(part["params"], archive), *HERE_ONLY))
    fitted = decode_all(part["fitted"], archive)
    vars(estimator).update(without(fitted, *estimator.get_params(deep=False)))
    return estimator


def fitted_attributes(estimator: Any) -> dict[str, Any]:
    """Return what a fit has left on an estimator, besides its net."""
    return without(vars(estimator), "net_", *estimator.get_params(deep=False))


def net_state(net: Any) -> dict[str, Any]:
    """Return what a fit has left in a skorch net, but for the optimiser."""
    weights = net.module_.state_dict()
    return {
        "history": [without(row, "batches") for row in net.history],
        "weights": {name: tensor.numpy(force=True) for name, tensor in weights.items()},
    }


def without(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return a dict with all but some of the keys."""
    return {key: value for key, value in mapping.items() if key not in keys}
