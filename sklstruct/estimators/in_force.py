"""What parameters of an estimator stand for where they are left to its preset."""

from __future__ import annotations

from typing import Any


def in_force(estimator: Any) -> dict[str, tuple[Any, Any]]:
    """Return the value of each parameter, and what None stands for in it.

    Those of a network that is a parameter are there too, as ``architecture__NAME``.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    parameters : dict of (value, object)
        The latter is None where a value stands for itself.
    """
    params, found = estimator.get_params(deep=False), dict[str, Any]()
    if hasattr(estimator, "_plan"):  # what a preset says of the network, and of the training
        network = estimator._architecture()
        inner = "" if network is estimator else "architecture__"
        if hasattr(network, "in_force"):
            values = network.in_force().get_params(deep=False)
            found |= {f"{inner}{name}": value for name, value in values.items()}
            values = network.get_params(deep=False)
            params |= {f"{inner}{name}": value for name, value in values.items()}
        # Last, as parameters of the training are those of the network's estimator too.
        found |= vars(estimator._plan(1))
    return {
        name: (value, found.get(name) if value is None else None) for name, value in params.items()
    }
