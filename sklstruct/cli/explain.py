"""``sklstruct explain``: where a model looked in the scans of a cohort."""

from __future__ import annotations

import argparse
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from .cohort_models import in_words, read_scan_model
from .common import Commands, Unwritten, add_command
from .model_files import UNSAFE, add_allow_pickle
from .scans import FOLDER, add_leave_out, add_scan_options, positive, read_cohort

LABELS = {
    "activation": "class activation",
    "gradient": "slope of the output",
    "occlusion": "fall of the output when hidden",
}
BOX = 24.0  # mm


def add_commands(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "explain",
        explain,
        "write maps of where a model looked in the scans of a cohort",
        "sklstruct explain --model model.skl --cohort adni --target diagnosis --out maps",
    )
    parser.add_argument("--model", required=True, metavar="FILE", help="what fit has written")
    parser.add_argument("--cohort", required=True, metavar="FOLDER", help=FOLDER)
    add_scan_options(parser.add_argument)
    add_leave_out(parser.add_argument)
    parser.add_argument(
        "--target", metavar="COLUMN", help="column with the labels, for averages over each class"
    )
    parser.add_argument(
        "--of",
        metavar="LABEL",
        help="the class that maps are about; if left out, the last of two classes, and of more "
        "the one that is predicted for the scan",
    )
    parser.add_argument(
        "--method",
        choices=LABELS,
        default="activation",
        help="activation, what each place adds to the output of a network, if left out; gradient; "
        "or occlusion, for any model: what changes when a box looks as in the mean of all scans",
    )
    parser.add_argument(
        "--size",
        type=positive,
        default=BOX,
        metavar="MM",
        help=f"edge of the boxes of occlusion, {BOX:g} if left out",
    )
    parser.add_argument(
        "--stride",
        type=positive,
        metavar="MM",
        help="from one box to the next, their edge if left out; half of that is finer and takes "
        "eight times as long",
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder to write, absent or empty"
    )
    add_allow_pickle(
        parser, UNSAFE.format("load", "such a file can do anything, load none of a stranger")
    )


def explain(args: argparse.Namespace) -> None:
    """Write the maps, and print where they are."""
    from ..inspection.maps import write_maps
    from ..io.atomic import new_folder

    with suppress(Unwritten), new_folder(Path(args.out)):  # known before all scans are read
        raise Unwritten
    model = read_scan_model(args)
    target = None if args.of is None else label_of(model, args.of)
    cohort = read_cohort(args, args.target)
    out = write_maps(
        model,
        cohort.X,
        args.out,
        attribution(args, model, cohort.X),
        target=target,
        y=cohort.y,
        subjects=cohort.groups,
        label=" ".join([LABELS[args.method], *subject_of(model, target)]),
    )
    print(f"maps of {in_words(cohort, args.cohort)} written to {out}")


def label_of(model: Any, text: str) -> Any:
    """Return the class of a model, or the number of a value, that a text stands for."""
    labels = getattr(model, "classes_", None)
    if labels is None:
        return int(text) if text.isdecimal() else text
    return next((label for label in labels.tolist() if str(label) == text), text)


def subject_of(model: Any, target: Any) -> list[str]:
    """Return which class maps are about, if it is the same for all scans."""
    classes = getattr(model, "classes_", [])
    if target is None and len(classes) != 2:
        return []
    return [f"({classes[-1] if target is None else target})"]


def attribution(args: argparse.Namespace, model: Any, paths: Any) -> Any:
    """Return the function that the method stands for."""
    if args.method == "occlusion":
        from ..inspection.maps import mean_volume, parts_of
        from ..inspection.occlusion import occlusion_map

        volumes, _ = parts_of(model)
        size, stride = (
            tuple(max(1, round(edge / step)) for step in volumes.spacing_)
            for edge in (args.size, args.stride or args.size)
        )
        fill = mean_volume(volumes.lazy(paths))
        return partial(occlusion_map, size=size, stride=stride, fill=fill)
    from ..inspection import attribution as maps

    return {"activation": maps.class_activation_map, "gradient": maps.gradient_map}[args.method]
