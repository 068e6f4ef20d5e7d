"""An architecture is data: fields, and ``build``, which makes a network of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .params import Params, plain
from .plugins import lookup, make_frame

if TYPE_CHECKING:  # listing architectures must not import torch
    from torch import nn


class Architecture(Params):
    r"""Base of the architectures: parameters that build a network for samples of any shape.

    A subclass lists its parameters and defines ``build``; no decorator is needed::

        class Tiny(Architecture):
            width: int = 16

            def build(self, in_shape, n_outputs): ...

    Published settings are tables in ``presets``.  A parameter that is None takes its value from
    the table that the field ``preset`` names, or from the only one where there is no such field;
    training parameters of estimators do so too.  So ``build`` begins with ``self.in_force()`` if
    there are presets.

    A network maps (n, \*in_shape) to (n, n_outputs), or to (n, n_outputs, \*spatial) where
    ``dense`` is True.  It should have ``features(x)``, what its head reads, and it may have

    - ``class_activations(x)``, (n, n_outputs, \*places), whose mean over the places is the output
      but for a constant;
    - ``inverse(features)``, the samples that have these features; with a parameter ``layer`` also
      of what a layer of that name gives;
    - ``loss(x, y)``, the loss of each sample, (n,), where outputs are more than one tensor: then
      ``forward`` returns a tuple that begins with the outputs.

    An architecture may have ``penalised(objective)``, the objective with penalties of its own, or
    with losses of side outputs.

    ``sklstruct.testing`` checks what there is.

    See Also
    --------
    sklstruct.testing.parametrize_architectures : Checks of one's own.

    Examples
    --------
    >>> from torch import nn
    >>> from sklstruct import Architecture, StructuredClassifier
    >>> class Tiny(Architecture):
    ...     width: int = 16
    ...     def build(self, in_shape, n_outputs):
    ...         channels = in_shape[0]
    ...         return nn.Sequential(
    ...             nn.Conv2d(channels, self.width, 3), nn.ReLU(),
    ...             nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(self.width, n_outputs),
    ...         )
    >>> StructuredClassifier(architecture=Tiny(width=8))
    StructuredClassifier(architecture=Tiny(width=8))
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    dense: ClassVar[bool] = False

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Return a network for samples of shape (channels, *spatial)."""
        raise NotImplementedError(f"{type(self).__name__} must define build(in_shape, n_outputs).")

    @classmethod
    def from_preset(cls, name: str) -> Self:
        """Return the architecture with all values of a preset written out.

        Raises
        ------
        ValueError
            If there is no preset of that name.
        """
        known = {one.name for one in fields(cls)}
        named = {"preset": name} if "preset" in known else {}
        if name not in cls.presets:
            raise ValueError(f"preset must be one of {tuple(cls.presets)}, got {name!r}.")
        written = {k: v for k, v in cls.presets[name].items() if k in known}
        if named:  # frames stay a name, which the preset gives a meaning
            written.pop("frame", None)
        return cls(**named, **written)

    def published(self) -> Mapping[str, Any]:
        """Return the table of the preset that this architecture takes values from."""
        name = getattr(self, "preset", next(iter(self.presets), None))
        if name is None:
            return {}
        if name not in self.presets:
            raise ValueError(f"preset must be one of {tuple(self.presets)}, got {name!r}.")
        return self.presets[name]

    def in_force(self) -> Any:
        """Return a copy whose parameters are checked, with the values of the preset for None.

        Numbers are Python's own, as not every layer of torch takes those of NumPy.
        """
        self.check_params()
        values, table = {}, self.published()
        for one in fields(self):
            value = plain(getattr(self, one.name))
            values[one.name] = table.get(one.name) if value is None else value
        return type(self)(**values)

    def of_stages(self, name: str, n_stages: int) -> Sequence[Any]:
        """Return the value of a parameter for each stage.

        Raises
        ------
        ValueError
            If it is a sequence of another length.  Those of presets are continued by their last
            value, so that ``widths`` may have any length.
        """
        own = plain(getattr(self, name))
        value = self.published().get(name) if own is None else own
        values = list(value) if isinstance(value, (tuple, list)) else [value]
        if own is None or len(values) == 1:
            return (values + values[-1:] * n_stages)[:n_stages]
        if len(values) != n_stages:
            raise ValueError(f"{name} has {len(values)} entries for {n_stages} stages (widths).")
        return values

    def frames(self, n_stages: int) -> Sequence[Any]:
        """Return the frame family of each stage, for what the field ``frame`` says.

        A name is a family with the order, the scales and the support that the preset has in that
        stage: so "pixel" is the twin with free kernels of the same size.

        Raises
        ------
        ValueError
            If a name is unknown, or a sequence has another length.
        """
        families = self.of_stages("frame", n_stages)
        return [make_frame(*pair) for pair in zip(families, self.designs(n_stages), strict=True)]

    def designs(self, n_stages: int) -> Sequence[Any]:
        """Return the frame family that the preset has in each stage, None where it has none."""
        # More stages than were published go on like the last one.
        designs = self.published().get("frame") or [None]
        return [designs[min(stage, len(designs) - 1)] for stage in range(n_stages)]

    def resolved(self, name: str) -> Any:
        """Return the object that a parameter stands for, where it may be a name."""
        value = getattr(self, name)
        design = self.published().get("frame") if name == "frame" else None
        if design is None or not isinstance(value, str):
            return super().resolved(name)
        widths = getattr(self, "widths", None) or self.published().get("widths", design)
        frames = self.frames(len(widths))
        return frames[0] if len(design) == 1 else tuple(frames)


def make_architecture(architecture: Any) -> Any:
    """Return an architecture, for a registered name, a class of architectures, or one itself.

    A function ``(in_shape, n_outputs) -> Module`` is returned as it is.

    Raises
    ------
    ValueError
        If a name is unknown.
    TypeError
        If it is none of these.
    """
    if isinstance(architecture, str):
        architecture = lookup("architecture", architecture)
    if isinstance(architecture, type) and issubclass(architecture, Architecture):
        return architecture()
    if not (hasattr(architecture, "build") or callable(architecture)):
        raise TypeError(
            "architecture must be the name of a registered architecture, an Architecture such as "
            f"RFNN(widths=(32, 32)), or a function (in_shape, n_outputs) -> Module, "
            f"got {architecture!r}."
        )
    return architecture
