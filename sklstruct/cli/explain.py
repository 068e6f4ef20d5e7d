"""``sklstruct explain``: where a model looked in the scans of a cohort."""

from __future__ import annotations

import argparse
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from .common import Commands, Unwritten, add_command
from .data import read
from .model_files import add_model, read_fitted
from .scans import FOLDER, add_scans, positive

LABELS = {
    "activation": "class activation",
    "gradient": "slope of the output",
    "occlusion": "fall of the output when hidden",
}
BOX = 24.0  # mm


def add_commands(commands: Commands) -> None:
    """Add the command."""
    purpose = "write maps of where a model looked in the scans of a cohort"
    example = "sklstruct explain --model model.skl --cohort adni --target diagnosis --out maps"
    parser = add_command(commands, "explain", explain, purpose, example)
    add = parser.add_argument
    add_model(parser)
    add("--cohort", required=True, metavar="FOLDER", help=FOLDER)
    add_scans(add)
    purpose = "column with the labels, for averages over each class"
    add("--target", metavar="COLUMN", help=purpose)
    purpose = (
        "the class that maps are about; if left out, the last of two classes, and of more the one "
        "that is predicted for the scan"
    )
    add("--of", metavar="LABEL", help=purpose)
    purpose = (
        "activation, what each place adds to the output of a network, if left out; gradient; or "
        "occlusion, for any model: what changes when a box looks as in the mean of all scans"
    )
    add("--method", choices=LABELS, default="activation", help=purpose)
    purpose = f"edge of the boxes of occlusion, {BOX:g} if left out"
    add("--size", type=positive, default=BOX, metavar="MM", help=purpose)
    purpose = (
        "from one box to the next, their edge if left out; half of that is finer and takes eight "
        "times as long"
    )
    add("--stride", type=positive, metavar="MM", help=purpose)
    add("--out", required=True, metavar="DIR", help="folder to write, absent or empty")


def explain(args: argparse.Namespace) -> None:
    """Write the maps, and print where they are."""
    from ..inspection.maps import write_maps
    from ..io.atomic import new_folder

    with suppress(Unwritten), new_folder(Path(args.out)):  # known before all scans are read
        raise Unwritten
    model = read_fitted(args)
    labels, target = getattr(model, "classes_", None), args.of
    if labels is not None:  # which may be numbers
        target = next((label for label in labels.tolist() if str(label) == target), target)
    elif target is not None and target.isdecimal():  # the number of a value
        target = int(target)
    classes, about = getattr(model, "classes_", []), ""
    if target is not None or len(classes) == 2:  # else maps are about what is predicted for each
        about = f" ({classes[-1] if target is None else target})"
    samples = read(args, labelled=True)
    out = write_maps(
        model,
        samples.X,
        args.out,
        attribution(args, model, samples.X),
        target=target,
        y=samples.y,
        subjects=samples.groups,
        label=f"{LABELS[args.method]}{about}",
    )
    print(f"maps of {samples.words} written to {out}")


def attribution(args: argparse.Namespace, model: Any, paths: Any) -> Any:
    """Return the function that the method stands for."""
    if args.method == "occlusion":
        from ..inspection.maps import mean_volume, parts_of
        from ..inspection.occlusion import occlusion_map

        volumes, _ = parts_of(model)
        size, stride = (  # in voxels, which may have other edges
            tuple(max(1, round(edge / step)) for step in volumes.spacing_)
            for edge in (args.size, args.stride or args.size)
        )
        # Not a constant: a hole in a head is no head, and a model may say anything of it.
        fill = mean_volume(volumes.lazy(paths))
        return partial(occlusion_map, size=size, stride=stride, fill=fill)
    from ..inspection import attribution as maps

    return {"activation": maps.class_activation_map, "gradient": maps.gradient_map}[args.method]
