"""``sklstruct show``: a frame, an architecture, an estimator, a model or a study in numbers."""

from __future__ import annotations

import argparse
import inspect
from contextlib import suppress
from typing import Any

from .. import plugins
from ..docstrings import split_sections
from ..estimators.specs import make_estimators, one_spec, parse_value
from .common import (
    Commands,
    add_command,
    add_group,
    add_set,
    adder,
    aligned,
    at_least,
    by_x,
    check_writable,
)
from .report import add_report


def add_commands(commands: Commands) -> None:
    """Add the command with its own commands."""
    things = add_group(commands, "show", "THING")
    add_frame(things)
    add_architecture(things)
    add_estimator(things)
    add_model(things)
    add_report(things, "show study")


# Frames -------------------------------------------------------------------------------------


def add_frame(things: Commands) -> None:
    """Add the command for frames."""
    parser = add_command(things, "show frame", show_frame, allow_abbrev=False)
    parser.add_argument_group("frame", "NAME, and --PARAM VALUE for any parameter that it has")
    add = adder(parser)
    add("--ndim", type=int, default=2, choices=(1, 2, 3))
    add("--out", metavar="FILE")
    # Which parameters there are depends on the name, which argparse does not know yet.
    parser.set_defaults(takes_unknown=True)


def show_frame(args: argparse.Namespace) -> None:
    """Print the numbers and the atoms of a frame."""
    from ..inspection.frame import FrameDisplay, built, steering_errors

    if args.out:
        check_writable(args.out)
    name, params = name_and_settings(args.unknown)
    family = plugins.make_frame(name)
    frame = built(family, args.ndim, **params)
    display = FrameDisplay(frame)
    numbers = {
        **{name.replace("_", " "): value for name, value in display.numbers.items()},
        "support": by_x(frame.support),
        "complete": frame.is_complete,
        "separable": frame.factors is not None,
        **steering_errors(frame),
    }
    params = {**getattr(family, "get_params", dict)(), **params}
    listed = ", ".join(f"{param}={value!r}" for param, value in params.items())
    print(f"{name} in {args.ndim}D: {listed}\n")
    print(aligned(list(numbers.items())), end="\n\n")
    norms = [float((atom**2).sum() ** 0.5) for atom in frame.flat]
    columns = frame.labels, map(int, frame.orders), map(float, frame.scales), norms
    print(aligned([("ATOM", "ORDER", "SCALE", "NORM"), *zip(*columns, strict=True)]))
    if args.out:
        display.save(args.out)
        print(f"\nwritten to {args.out}")


def name_and_settings(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the name and the parameters in ``NAME --order 3 --scales=1,2``, in any order."""
    # Not a parser of its own with the parameters of the family: values are Python literals.
    names, settings, left = [], {}, iter(arguments)
    for argument in left:
        if not argument.startswith("--"):
            names.append(argument)
            continue
        param, equals, text = argument.removeprefix("--").partition("=")
        value = text if equals else next(left, None)
        if value is None:
            raise ValueError(f"{argument} must be followed by a value.")
        settings[param.replace("-", "_")] = parse_value(value)
    if len(names) != 1:
        raise ValueError(f"One frame must be named, got {names}; see sklstruct list frame.")
    return names[0], settings


# Architectures ------------------------------------------------------------------------------


def add_architecture(things: Commands) -> None:
    """Add the command for architectures."""
    add = adder(add_command(things, "show architecture", show_architecture))
    add("name", metavar="ARCHITECTURE")
    add("--shape", type=shape, default=(1, 28, 28), metavar="C,H,W")
    add("--outputs", type=at_least(1), default=10, metavar="N")
    add_set(add)


def shape(text: str) -> tuple[int, ...]:
    """Return a shape for a text such as ``1,28,28``."""
    extents = parse_value(text)
    if not isinstance(extents, tuple) or not all(type(e) is int and e > 0 for e in extents):
        raise ValueError(f"{text!r} must be channels and extents such as 1,28,28")
    return extents


def show_architecture(args: argparse.Namespace) -> None:
    """Print the layers of an architecture, with their outputs and parameters."""
    from ..architecture import make_architecture
    from ..layers import KERNELS, FrameConv, Weights, network_structure
    from ..studies.text import weights_in_words

    architecture = make_architecture(args.name)
    if args.set:  # a function has no parameters to set
        architecture.set_params(**dict(args.set))
    build = getattr(architecture, "build", architecture)
    module = build(args.shape, args.outputs)
    rows: list[tuple[Any, ...]] = []
    layers = network_structure(module, args.shape)
    for one in layers:
        frame = getattr(one.layer, "frame", None)
        of = "" if frame is None else f" of {frame!r}"
        shape = "-" if one.out_shape is None else by_x(one.out_shape)
        rows.append((one.name, f"{type(one.layer).__name__}{of}", shape, one.n_parameters))
    total = sum(parameter.numel() for parameter in module.parameters())
    print(aligned([("LAYER", "TYPE", "OUTPUT", "PARAMETERS"), *rows]))
    print(f"\n{total} parameters for inputs of {by_x(args.shape)} and {args.outputs} outputs")
    totals = map(sum, zip(*(one.weights for one in layers), strict=True))
    steps = dict(zip(Weights._fields, totals, strict=True))
    print(f"weights, biases and norms not counted: {weights_in_words(steps)}")
    way = "torch (no kernel was compiled)"
    if KERNELS:
        way = f"the compiled kernel ({KERNELS[0]}) where it is faster"
    if any(isinstance(layer, FrameConv) for layer in module.modules()):
        print(f"frame convolutions in single precision on a CPU: by {way}")


# Estimators ---------------------------------------------------------------------------------


def add_estimator(things: Commands) -> None:
    """Add the command for estimators."""
    parser = add_command(things, "show estimator", show_estimator)
    adder(parser)("name", type=one_spec, metavar="ESTIMATOR")


def show_estimator(args: argparse.Namespace) -> None:
    """Print the parameters of an estimator, what None stands for, and what they are."""
    from ..estimators.in_force import in_force

    (estimator,) = make_estimators([args.name]).values()
    rows = [
        (name, repr(value), "" if found is None else repr(found))
        for name, (value, found) in in_force(estimator).items()
    ]
    has_presets = any(found for _, _, found in rows)
    purpose = (type(estimator).__doc__ or "undocumented").strip().splitlines()[0]
    print(f"{type(estimator).__name__}: {purpose}\n")
    print(aligned([("PARAMETER", "VALUE", "IN FORCE" if has_presets else ""), *rows]))
    network = getattr(estimator, "_architecture", lambda: estimator)()
    described = {type(estimator): "", type(network): ", as architecture__NAME"}
    for kind, note in {**described, type(estimator): ""}.items():
        sections = split_sections(inspect.cleandoc(kind.__doc__ or ""))
        if "Parameters" in sections:
            print(f"\nParameters of {kind.__name__}{note}:\n\n{sections['Parameters']}")


# Files --------------------------------------------------------------------------------------


def add_model(things: Commands) -> None:
    """Add the command for models."""
    add = adder(add_command(things, "show model", show_model))
    add("file", metavar="FILE")
    add("--kernels", metavar="PNG")
    add("--coefficients", metavar="PNG")
    add("--scales", metavar="PNG")
    add("--allow-pickle", action="store_true")


def show_model(args: argparse.Namespace) -> None:
    """Print what a model file holds, and draw what is asked for."""
    from ..estimators.persistence import load_model
    from ..estimators.volumes import last_step
    from ..inspection import CoefficientDisplay, KernelDisplay, ScaleDisplay

    wanted = {
        KernelDisplay: args.kernels,
        CoefficientDisplay: args.coefficients,
        ScaleDisplay: args.scales,
    }
    pictures: list[tuple[str, Any]] = [(path, display) for display, path in wanted.items() if path]
    for path, _ in pictures:  # known before a large model is read
        check_writable(path)
    model = load_model(args.file, allow_pickle=args.allow_pickle)
    step = last_step(model)
    print(f"{model!r}\n")
    numbers = {  # what fits into a line
        name: value
        for name, value in vars(step).items()
        if name.endswith("_") and isinstance(value, (str, int, float, tuple))
    }
    if hasattr(step, "classes_"):  # may be a property
        numbers["classes_"] = step.classes_.tolist()
    if getattr(step, "loss_curve_", None):
        numbers["loss_curve_[-1]"] = float(step.loss_curve_[-1])
    print(aligned([(name, repr(value)) for name, value in numbers.items()]))
    with suppress(ValueError):  # where no scale is learned, there are none to print
        print(f"\n{aligned(scale_rows(step))}")
    for path, display in pictures:
        display.from_estimator(step).save(path)
        print(f"written to {path}")


def scale_rows(estimator: Any) -> list[tuple[Any, ...]]:
    """Return the scales that layers have learned, with the lowest and the highest of a channel."""
    from ..inspection import learned_scales

    groups = learned_scales(estimator).groupby(["layer", "initial_scale"], sort=False)
    found = groups.learned_scale.agg(["mean", "min", "max"]).itertuples()
    rows = [(*index, *numbers) for index, *numbers in found]
    return [("LAYER", "FIRST SCALE", "LEARNED", "LOWEST", "HIGHEST"), *rows]
