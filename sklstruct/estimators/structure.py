"""What a network is made of, as a table: how many weights its structure saves."""

from __future__ import annotations

from typing import Any

import pandas as pd
from torch import nn

from ..architecture import make_architecture
from ..layers import Weights, network_structure
from ..params import WIDTHS, Rule, check, integer
from ..training.device import seeded_initialisation
from .volumes import last_step

IN_SHAPE = Rule("(channels, *spatial), integers of at least 1", WIDTHS.holds)


def structure(
    estimator: Any, in_shape: tuple[int, ...] | None = None, n_outputs: int = 2
) -> pd.DataFrame:
    """Return how many weights the layers of a network would have with less structure.

    A dense layer has a weight for every pair of an input and an output.  Locality leaves the
    connections within the support of kernels; sharing gives all places the same ones; a frame
    leaves the coefficients of its atoms, and ordered attributes what their factors have.

    Parameters
    ----------
    estimator : network estimator, Architecture, str or nn.Module
        Fitted or not, a pipeline that ends in one, or a search that has found one; a name is that
        of an architecture.
    in_shape : tuple of int, default=None
        Shape of one sample, (channels, *spatial).  None is that of a fitted estimator, whose
        network is described then.
    n_outputs : int, default=2
        Number of outputs, where a network is built.

    Returns
    -------
    table : DataFrame
        By the names of the layers, in their order: "kind"; "out_shape", (channels, *spatial);
        "dense", "local", "shared", "frame", "attributes", the numbers of weights from the least
        structure to the most; "parameters", what is learned in fact, biases and norms included.

    Raises
    ------
    ValueError
        If nothing is fitted and there is no ``in_shape``, or it is no shape.

    References
    ----------
    Y. LeCun, B. Boser, J. S. Denker, D. Henderson, R. E. Howard, W. Hubbard and L. D. Jackel.
    Backpropagation applied to handwritten zip code recognition.  Neural Computation, 1989.

    See Also
    --------
    sklstruct.layers.network_structure : The same of any network, without a table.

    Examples
    --------
    >>> from torch import nn
    >>> from sklstruct.inspection import structure
    >>> table = structure(nn.Conv2d(1, 1, 2, bias=False), in_shape=(1, 3, 3))
    >>> table[["dense", "local", "shared"]].sum().tolist()
    [36, 16, 4]
    >>> structure("rfnn", in_shape=(1, 28, 28))[["shared", "frame"]].sum().tolist()
    [406592, 84608]
    """
    network, shape = described_network(estimator, in_shape, n_outputs)
    rows = {
        one.name or "network": {
            "kind": type(one.layer).__name__,
            "out_shape": one.out_shape,
            **one.weights._asdict(),
            "parameters": one.n_parameters,
        }
        for one in network_structure(network, shape)
    }
    columns = ["kind", "out_shape", *Weights._fields, "parameters"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("layer")


def described_network(
    estimator: Any, in_shape: tuple[int, ...] | None = None, n_outputs: int = 2
) -> tuple[nn.Module, tuple[int, ...]]:
    """Return the network that is to be described, and the shape of its samples.

    Parameters
    ----------
    estimator, in_shape, n_outputs
        As ``sklstruct.inspection.structure`` takes them.

    Returns
    -------
    network : nn.Module
        That of a fitted estimator, where there is no ``in_shape``, or a new one.
    in_shape : tuple of int

    Raises
    ------
    ValueError
        If nothing is fitted and there is no ``in_shape``, or it is no shape.

    See Also
    --------
    structure : What is said of the network.

    Examples
    --------
    >>> from sklstruct.estimators import described_network
    >>> network, in_shape = described_network("linear", (1, 8, 8), n_outputs=3)
    >>> network.head.out_features, in_shape
    (3, (1, 8, 8))
    """
    estimator = last_step(getattr(estimator, "best_estimator_", estimator))
    if in_shape is not None:
        in_shape = tuple(map(int, check("in_shape", in_shape, IN_SHAPE)))
    check("n_outputs", n_outputs, integer(1))
    if in_shape is None and hasattr(estimator, "net_"):
        return estimator.net_.module_, estimator.in_shape_
    if in_shape is None:
        raise ValueError("in_shape must be (channels, *spatial) where nothing is fitted, got None.")
    if isinstance(estimator, nn.Module):
        return estimator, in_shape
    own = hasattr(estimator, "_architecture")
    architecture = estimator._architecture() if own else make_architecture(estimator)
    with seeded_initialisation(0):
        return getattr(architecture, "build", architecture)(in_shape, n_outputs), in_shape
