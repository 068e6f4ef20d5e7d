"""Any registered architecture as a classifier or a regressor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn

from .. import plugins
from .base import NetworkEstimator
from .classifier import NetworkClassifier
from .regressor import NetworkRegressor


@dataclass(kw_only=True, eq=False, repr=False)
class AnyArchitecture(NetworkEstimator):
    """The parameters that choose an architecture."""

    architecture: str | Callable[..., nn.Module] | None = None
    frame: Any = None
    params: dict[str, Any] | None = None

    def _build_network(self, in_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        build = linear if self.architecture is None else self.architecture
        if isinstance(build, str):
            build = plugins.lookup("architecture", build)
        if not callable(build):
            raise TypeError(
                "architecture must be the name of a registered architecture or a callable "
                f"(in_shape, n_outputs, **params) -> Module, got {build!r}."
            )
        frame = {} if self.frame is None else {"frame": self.frame}
        return build(in_shape, n_outputs, **frame, **(self.params or {}))


@dataclass(kw_only=True, eq=False, repr=False)
class StructuredClassifier(AnyArchitecture, NetworkClassifier):
    """Classifier with any registered architecture.

    Parameters
    ----------
    architecture : str or callable, default=None
        A registered name, see ``sklstruct list``, or a function
        ``(in_shape, n_outputs, **params) -> Module``; None is one linear layer, the network
        without structure.
    frame : str, frame family or sequence of these, default=None
        Passed to architectures that are built on a frame; None leaves it to the architecture.
    params : dict, default=None
        Further parameters of the architecture.
    class_weight : dict or "balanced", default=None
    label_smoothing : float, default=0.1
        Share of every target that is spread over all classes.
    {training}

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    net_ : skorch.NeuralNet
        Its ``module_`` is the network.
    layout_ : str
        How samples were read.
    in_shape_ : tuple of int
        Shape of a sample for the network, (channels, *spatial).
    n_parameters_ : int
        Number of trainable parameters.
    loss_curve_ : list of float
        Training loss after each epoch.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import StructuredClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = StructuredClassifier(
    ...     architecture="rfnn", frame="pixel", image_shape=(8, 8), max_epochs=1
    ... )
    >>> model.fit(X[:50], y[:50]).predict(X[:3]).shape
    (3,)
    """


@dataclass(kw_only=True, eq=False, repr=False)
class StructuredRegressor(AnyArchitecture, NetworkRegressor):
    """Regressor with any registered architecture.

    Parameters
    ----------
    architecture : str or callable, default=None
        A registered name, see ``sklstruct list``, or a function
        ``(in_shape, n_outputs, **params) -> Module``; None is one linear layer, the network
        without structure.
    frame : str, frame family or sequence of these, default=None
        Passed to architectures that are built on a frame; None leaves it to the architecture.
    params : dict, default=None
        Further parameters of the architecture.
    {training}

    Attributes
    ----------
    net_, layout_, in_shape_, n_parameters_, loss_curve_
        As of ``StructuredClassifier``.
    """


def linear(in_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """Return a network of one linear layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(in_shape), n_outputs))
