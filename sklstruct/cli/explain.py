"""``sklstruct explain``: where a model looked in images or scans."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

from .common import Commands, Unwritten, add_command, adder, positive
from .data import add_data, label_of, read
from .models import add_model, read_fitted

CAPTUM = "captum:"


class Methods(tuple[str, ...]):
    """Names of methods, and of any class of captum."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or str(name).startswith(CAPTUM)


METHODS = Methods(
    (
        "activation",
        "grad_cam",
        "gradient",
        "input_x_gradient",
        "integrated_gradients",
        "occlusion",
        "smooth_gradient",
    )
)


def add_commands(commands: Commands) -> None:
    """Add the command."""
    add = adder(add_command(commands, "explain", explain))
    add_data(add)
    add("--part", choices=("train", "test"))
    add("--target", metavar="COLUMN")
    add_model(add)
    add("--of", metavar="LABEL")
    add("--method", choices=METHODS, default=METHODS[0])
    add("--size", type=positive, metavar="LENGTH")
    add("--stride", type=positive, metavar="LENGTH")
    add("--out", required=True, metavar="DIR")


def explain(args: argparse.Namespace) -> None:
    """Write the maps, and print where they are."""
    from ..inspection import explain
    from ..io.atomic import new_folder

    with suppress(Unwritten), new_folder(Path(args.out)):  # known before all scans are read
        raise Unwritten
    model, fits = read_fitted(args)
    target = target_of(args.of, model)
    samples = read(args, labels=args.target is not None, known=fits).part(args.part)
    scans = {"y": samples.y, "subjects": samples.groups}
    out = explain(
        model,
        samples.X,
        args.out,
        args.method,
        target=target,
        size=args.size,
        stride=args.stride,
        **(scans if samples.scans else {"names": samples.names["sample"]}),
    )
    print(f"maps of {samples.words} written to {out}")


def target_of(text: str | None, model: Any) -> Any:
    """Return the class or the number of a value that is asked for."""
    classes = getattr(model, "classes_", None)
    if classes is None:  # the number of a value
        if text is not None and not text.isdecimal():
            raise ValueError(f"--of must be the number of a value of a regressor, got {text!r}.")
        return None if text is None else int(text)
    return label_of(classes, text, "of")
