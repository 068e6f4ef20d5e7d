"""``sklstruct explain``: where a model looked in images, or in the scans of a cohort."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from .common import Commands, Unwritten, add_command, adder
from .data import add_samples, read
from .model_files import add_model, read_fitted
from .models import volumes_of
from .scans import positive

LABELS = {
    "activation": "class activation",
    "gradient": "slope of the output",
    "occlusion": "fall of the output when hidden",
}
BOX = 24.0  # mm
BOXES = 4  # that cover an axis of an array


def add_commands(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "explain", explain)
    add_samples(parser, explain).add("--target", metavar="COLUMN")
    add = adder(parser)
    add_model(add)
    add("--of", metavar="LABEL")
    add("--method", choices=LABELS, default="activation")
    add("--size", type=positive, metavar="LENGTH")
    add("--stride", type=positive, metavar="LENGTH")
    add("--out", required=True, metavar="DIR")


def explain(args: argparse.Namespace) -> None:
    """Write the maps, and print where they are."""
    from ..inspection.maps import write_array_maps, write_maps
    from ..io.atomic import new_folder

    with suppress(Unwritten), new_folder(Path(args.out)):  # known before all scans are read
        raise Unwritten
    model = read_fitted(args)
    classes = getattr(model, "classes_", None)
    target, about = target_of(args.of, model), ""
    if target is not None or (classes is not None and len(classes) == 2):
        about = f" ({classes[-1] if target is None and classes is not None else target})"
    samples = read(args, labelled=args.cohort is not None)
    options = {"target": target, "label": f"{LABELS[args.method]}{about}"}
    if args.cohort is not None:
        options |= {"y": samples.y, "subjects": samples.groups}
        method = attribution(args, partial(scan_boxes, args, model, samples.X))
        out = write_maps(model, samples.X, args.out, method, **options)
    else:
        step, X = volumes_of(model, samples.X)
        method = attribution(args, partial(array_boxes, args, step, X))
        names = samples.names["sample"]
        out = write_array_maps(step, X, args.out, method, names=names, **options)
    print(f"maps of {samples.words} written to {out}")


def target_of(text: str | None, model: Any) -> Any:
    """Return the class or the number of a value that is asked for."""
    classes = getattr(model, "classes_", None)
    if classes is None:  # the number of a value
        if text is not None and not text.isdecimal():
            raise ValueError(f"--of must be the number of a value of a regressor, got {text!r}.")
        return None if text is None else int(text)
    labels = {str(label): label for label in classes.tolist()}  # which may be numbers
    if text is not None and text not in labels:
        known = ", ".join(labels)
        raise ValueError(f"--of must be one of the classes {known} of the model, got {text!r}.")
    return None if text is None else labels[text]


def attribution(args: argparse.Namespace, boxes: Callable[[], dict[str, Any]]) -> Any:
    """Return the function that the method stands for."""
    if args.method == "occlusion":
        from ..inspection.occlusion import occlusion_map

        return partial(occlusion_map, **boxes())
    from ..inspection import attribution as maps

    return {"activation": maps.class_activation_map, "gradient": maps.gradient_map}[args.method]


def scan_boxes(args: argparse.Namespace, model: Any, paths: Any) -> dict[str, Any]:
    """Return boxes of a size in millimetres, and what is put in their place."""
    from ..inspection.map_display import head_in
    from ..inspection.maps import mean_volume, parts_of

    volumes, _ = parts_of(model)
    size = args.size or BOX
    edges = {"size": size, "stride": args.stride or size}
    voxels = {  # which may have other edges
        name: tuple(max(1, round(edge / step)) for step in volumes.spacing_)
        for name, edge in edges.items()
    }
    # Not a constant: a hole in a head is no head, and a model may say anything of it.
    mean = mean_volume(volumes.lazy(paths))
    return {**voxels, "fill": mean, "mask": head_in(mean, volumes.mask_)}


def array_boxes(args: argparse.Namespace, estimator: Any, X: Any) -> dict[str, Any]:
    """Return boxes of a size in pixels, with all channels."""
    shape, layout = X.shape[1:], getattr(estimator, "layout_", "")
    axes = layout if len(layout) == len(shape) else "S" * len(shape)
    size = [
        extent if axis == "C" else max(1, round(args.size or extent / BOXES))
        for extent, axis in zip(shape, axes, strict=True)
    ]
    stride = [
        edge if axis == "C" else max(1, round(args.stride or edge))
        for edge, axis in zip(size, axes, strict=True)
    ]
    return {"size": tuple(size), "stride": tuple(stride)}
