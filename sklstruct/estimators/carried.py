"""Estimators that take what was registered at run time along to other processes."""

from __future__ import annotations

from typing import Any

from ..compat import BaseEstimator
from ..plugins import register_carried, with_carried


class CarriesNames(BaseEstimator):
    """Base of estimators whose parameters may be names that only this process knows.

    A pickle has what is registered at run time under such a name, and registers it where it is
    loaded, as in the workers of joblib.

    See Also
    --------
    sklstruct.plugins.register : A name of one's own.

    Examples
    --------
    >>> import pickle
    >>> from sklstruct.estimators import CarriesNames
    >>> class Named(CarriesNames):
    ...     def __init__(self, frame="gaussian"):
    ...         self.frame = frame
    >>> Named("pixel").__getstate__()["frame"]
    'pixel'
    """

    def __getstate__(self) -> dict[str, Any]:
        return with_carried(super().__getstate__(), self.get_params())

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(register_carried(state))
