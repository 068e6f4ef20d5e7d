"""RFNNClassifier and RFNNRegressor: the receptive field network the scikit-learn way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from sklstruct.estimators.base import NetworkEstimator
from sklstruct.estimators.classifier import NetworkClassifier
from sklstruct.estimators.regressor import NetworkRegressor
from sklstruct.estimators.training import epochs_for
from sklstruct.frames import GaussianDerivatives, Pixels

from .network import RFNN

MODERN = {
    "widths": (64, 64, 64),
    "dropout": 0.2,
    "head_dropout": 0.7,
    "max_epochs": 100,
    "batch_size": 25,
    "lr": 0.01,
    "optimizer": "adamw",
    "schedule": "one-cycle",
    "weight_decay": 0.01,
    "label_smoothing": 0.1,
}
# A cycle that is cut off ends where the learning rate is highest.
STOPPED_EARLY = {"lr": 0.003, "schedule": "constant"}
PAPER = {
    **MODERN,
    "max_epochs": ((300, 1000), (1000, 300), (2000, 200), (5000, 150), (10000, 100)),
    "lr": 5.0,
    "optimizer": "adadelta",
    "schedule": "linear",
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
}
PRESETS: dict[str, dict[str, Any]] = {"modern": MODERN, "paper": PAPER}

PAPER_FRAMES = {  # what a name stands for there, stage by stage
    "gaussian": (
        GaussianDerivatives(order=3, scales=(1.5,), size=11),
        GaussianDerivatives(order=2, scales=(1.0,), size=7),
        GaussianDerivatives(order=2, scales=(1.0,), size=7),
    ),
    "pixel": (Pixels(size=11), Pixels(size=7), Pixels(size=7)),
}

RFNN_PARAMETERS = """frame : str, frame family, or sequence of these, default="gaussian"
        Frame of every stage, or one for each.  ``frame="pixel"`` is the unstructured twin: the
        same network with free kernels.
    preset : {"modern", "paper"}, default="modern"
        Where the parameters below come from that are None.  "modern": batch norm, AdamW and
        one cycle of the learning rate.  "paper": as published in 2016 for MNIST, with
        cross-channel normalisation, Adadelta, full padding, uniform coefficients, epochs that
        depend on the number of samples, and for the frame names "gaussian" and "pixel" supports
        of 11, 7 and 7.
    widths : sequence of int, default=None
        Channels of each stage; (64, 64, 64) in both presets.
    dropout, head_dropout : float, default=None
        After every stage but the last, and before the linear layer; 0.2 and 0.7 (regressors in
        "modern": 0 and 0.2, as values suffer from heavy dropout).
    max_epochs, batch_size, lr, optimizer, schedule, weight_decay : default=None
        100, 25, 0.01, "adamw", "one-cycle" and 0.01 in "modern", with ``early_stopping`` a
        constant 0.003; by samples, 25, 5.0, "adadelta", "linear" and 0 in "paper"."""


@dataclass(kw_only=True, eq=False, repr=False)
class RFNNParameters(NetworkEstimator):
    """The parameters of the network, with their presets."""

    frame: Any = "gaussian"
    preset: str = "modern"
    widths: Sequence[int] | None = None
    dropout: float | None = None
    head_dropout: float | None = None
    max_epochs: int | None = None  # type: ignore[assignment]
    batch_size: int | None = None  # type: ignore[assignment]
    lr: float | None = None  # type: ignore[assignment]
    optimizer: str | None = None  # type: ignore[assignment]
    schedule: str | None = None  # type: ignore[assignment]
    weight_decay: float | None = None  # type: ignore[assignment]

    _presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **NetworkEstimator._parameter_constraints,
        "preset": [StrOptions(set(PRESETS))],
        "widths": ["array-like", None],
        "dropout": [Interval(Real, 0, 1, closed="left"), None],
        "head_dropout": [Interval(Real, 0, 1, closed="left"), None],
        **{
            name: [*NetworkEstimator._parameter_constraints[name], None]
            for name in ("max_epochs", "batch_size", "lr", "optimizer", "schedule", "weight_decay")
        },
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if cls.__doc__:
            cls.__doc__ = cls.__doc__.replace("{rfnn}", RFNN_PARAMETERS)
        super().__init_subclass__(**kwargs)

    def _make_settable(self, head: str) -> None:
        if head == "frame" and self.preset == "paper" and isinstance(self.frame, str):
            raise ValueError(
                f"With preset='paper', frame={self.frame!r} stands for another frame in each "
                "stage: give frame an object before you set parameters of it."
            )
        super()._make_settable(head)

    def _setting(self, name: str, n_samples: int = 1) -> Any:
        value = getattr(self, name)
        if value is None and self.early_stopping and self.preset == "modern":
            value = STOPPED_EARLY.get(name)
        if value is None:
            value = self._presets[self.preset][name]
            if name == "max_epochs" and isinstance(value, tuple):
                value = epochs_for(n_samples, value)
        return value

    def _build_network(self, in_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        as_published: dict[str, Any] = {}
        frame = self.frame
        if self.preset == "paper":
            n_stages = len(self._setting("widths"))
            padding = stretched(("same", "full", "full"), n_stages)
            as_published = {"norm": "crossmap", "padding": padding, "init": "uniform"}
            if isinstance(frame, str) and frame in PAPER_FRAMES:
                frame = stretched(PAPER_FRAMES[frame], n_stages)
        return RFNN(
            in_shape,
            n_outputs,
            frame=frame,
            widths=self._setting("widths"),
            dropout=self._setting("dropout"),
            head_dropout=self._setting("head_dropout"),
            **as_published,
        )


@dataclass(kw_only=True, eq=False, repr=False)
class RFNNClassifier(RFNNParameters, NetworkClassifier):
    """Classifier with a receptive field network: kernels learned in the span of a frame.

    Three stages of frame convolution, normalisation, rectifier and pooling, then one linear
    layer; in 1D, 2D and 3D.

    Parameters
    ----------
    {rfnn}
    class_weight : dict or "balanced", default=None
    label_smoothing : float, default=None
        Share of every target that is spread over all classes; 0.1 in "modern", 0 in "paper".
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

    References
    ----------
    J.-H. Jacobsen, J. van Gemert, Z. Lou and A. W. M. Smeulders. Structured receptive fields
    in CNNs. CVPR, 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = RFNNClassifier(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> model.fit(X[:50], y[:50]).predict_proba(X[:3]).shape
    (3, 10)
    """

    label_smoothing: float | None = None  # type: ignore[assignment]

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **NetworkClassifier._parameter_constraints,
        **RFNNParameters._parameter_constraints,
        "label_smoothing": [Interval(Real, 0, 1, closed="left"), None],
    }


@dataclass(kw_only=True, eq=False, repr=False)
class RFNNRegressor(RFNNParameters, NetworkRegressor):
    """Regressor with a receptive field network: kernels learned in the span of a frame.

    Parameters
    ----------
    {rfnn}
    {training}

    Attributes
    ----------
    net_, layout_, in_shape_, n_parameters_, loss_curve_
        As of ``RFNNClassifier``.

    References
    ----------
    J.-H. Jacobsen, J. van Gemert, Z. Lou and A. W. M. Smeulders. Structured receptive fields
    in CNNs. CVPR, 2016.
    """

    _presets: ClassVar[dict[str, dict[str, Any]]] = {
        "modern": {**MODERN, "dropout": 0.0, "head_dropout": 0.2},
        "paper": PAPER,
    }


def stretched(published: tuple[Any, ...], n_stages: int) -> tuple[Any, ...]:
    """Return one of the published values for each stage; the last one for further stages."""
    return (published + published[-1:] * n_stages)[:n_stages]
