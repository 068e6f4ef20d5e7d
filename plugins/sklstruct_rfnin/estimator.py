"""RFNiNClassifier and RFNiNRegressor: Network in Network on frames, the scikit-learn way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from sklstruct.estimators.base import MAX_SEED, NetworkEstimator, with_weight
from sklstruct.estimators.calibration import subject_numbers
from sklstruct.estimators.classifier import NetworkClassifier
from sklstruct.estimators.regressor import NetworkRegressor
from sklstruct.estimators.rows import Rows
from sklstruct.estimators.training import Batches, Samples, epochs_for, limited_threads

from .convolution import STRUCTURED_LAYERS
from .describe import describe_network
from .mixture import mix
from .network import RFNiN, settle_norms
from .presets import PRESETS

TRAINED_BY = ("max_epochs", "batch_size", "lr", "optimizer", "schedule", "weight_decay")
SETTLED_AT_ONCE = 64  # samples: enough for statistics, and few enough for memory
STOPPED_EARLY = 0.3  # share of the learning rate; a cycle cut off ends where it is highest

RFNIN_PARAMETERS = """frame : str, frame family, or sequence of these, default="gaussian"
        Of every group, or one for each.  "gaussian" stands for the Gaussian derivatives of the
        preset, "pixel" for free kernels of the same supports (plain Network in Network), and
        "free" for learned atoms, as many and as large as those of the preset.
    preset : {"small", "cifar", "imagenet-v1", "imagenet-v2", "mri"}, default="small"
        Where the parameters below come from that are None, and orders, scales, strides and
        pooling.  "small" suits tens to hundreds of images or volumes of any kind.  "cifar" and
        "imagenet-v1", "-v2" are the published networks for photographs.  "mri" is the published
        one for brain scans, of order 3 at scales 1, 4 and 16; its strides and pooling are not
        published and chosen here as in Network in Network: stride 2 first, and 3x3 max pooling
        with stride 2 after every group but the last.  Its twin with ``frame="pixel"`` or
        "free" has supports of 7, 5 and 5, as kernels of the size of the scan are out of reach.
    widths : sequence of int, default=None
        Channels of each group.
    structured_layers : {"all", "first"}, default="all"
        "first" lets the groups after the first have free kernels of the same supports.
    dropout : float, default=None
        Before every group but the first.
    head_dropout : float, default=0.0
        Before the linear layer.
    spacing : float or sequence of float, default=None
        Distance of the samples in millimetres, along all axes or along each: Gaussians then
        keep their size in millimetres, with scale 1 being 1 mm, in "mri" 2 mm.  None takes
        scales as samples; "small" then averages volumes over 2x2x2 samples until no extent
        exceeds 32, which bounds the time of a fit.
    tolerance : float, default=None
        Relative error allowed to the filters, which makes large scales cheap; None is 1e-3 in
        "mri" and else 0, which computes exactly.
    checkpointing : bool, default=False
        Whether to compute layers again for the gradient, in place of keeping their insides:
        less memory, more time, the same result.
    mixed_precision : bool, default=False
        Whether to compute in bfloat16 what torch deems safe.
    max_epochs, batch_size, lr, optimizer, schedule, weight_decay : default=None
        50 for up to 60 samples, falling to 20 for 250 and more, 8, 0.005, "adamw", "one-cycle"
        and 0.05 in "small", with ``early_stopping`` a
        constant 0.0015."""


@dataclass(kw_only=True, eq=False, repr=False)
class RFNiNParameters(NetworkEstimator):
    """The parameters of the network, with their presets."""

    frame: Any = "gaussian"
    preset: str = "small"
    widths: Sequence[int] | None = None
    structured_layers: str = "all"
    dropout: float | None = None
    head_dropout: float = 0.0
    spacing: float | Sequence[float] | None = None
    tolerance: float | None = None
    checkpointing: bool = False
    mixed_precision: bool = False
    max_epochs: int | None = None  # type: ignore[assignment]
    batch_size: int | None = None  # type: ignore[assignment]
    lr: float | None = None  # type: ignore[assignment]
    optimizer: str | None = None  # type: ignore[assignment]
    schedule: str | None = None  # type: ignore[assignment]
    weight_decay: float | None = None  # type: ignore[assignment]

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **NetworkEstimator._parameter_constraints,
        "preset": [StrOptions(set(PRESETS))],
        "widths": ["array-like", None],
        "structured_layers": [StrOptions(set(STRUCTURED_LAYERS))],
        "dropout": [Interval(Real, 0, 1, closed="left"), None],
        "head_dropout": [Interval(Real, 0, 1, closed="left")],
        "spacing": [Interval(Real, 0, None, closed="neither"), "array-like", None],
        "tolerance": [Interval(Real, 0, 1, closed="left"), None],
        "checkpointing": ["boolean"],
        "mixed_precision": ["boolean"],
        **{name: [*NetworkEstimator._parameter_constraints[name], None] for name in TRAINED_BY},
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if cls.__doc__:
            cls.__doc__ = cls.__doc__.replace("{rfnin}", RFNIN_PARAMETERS)
        super().__init_subclass__(**kwargs)

    def describe(self, in_shape: tuple[int, ...] | None = None, n_outputs: int = 2) -> pd.DataFrame:
        """Return the layers of the network as a table: atoms, parameters, receptive fields.

        Parameters
        ----------
        in_shape : tuple of int, default=None
            Shape of one sample, (channels, *spatial).  None is that of a fitted estimator.
        n_outputs : int, default=2
            Number of outputs of an estimator that is not fitted.

        Returns
        -------
        table : DataFrame
            See ``sklstruct_rfnin.describe.describe_network``.

        Raises
        ------
        ValueError
            If the estimator is not fitted and there is no ``in_shape``.
        """
        if in_shape is not None:
            return describe_network(self._build_network(tuple(in_shape), n_outputs))
        if not hasattr(self, "net_"):
            raise ValueError("describe needs in_shape, (channels, *spatial), before fit.")
        return describe_network(self.net_.module_)

    def _make_settable(self, head: str) -> None:
        if head == "frame" and isinstance(self.frame, str):
            raise ValueError(
                f"frame={self.frame!r} stands for another frame in each group of the preset: give "
                "frame an object before you set parameters of it."
            )
        super()._make_settable(head)

    def _beside(self) -> bool:
        """Whether a linear classifier stands beside the network."""
        return False

    def _setting(self, name: str, n_samples: int = 1) -> Any:
        value = getattr(self, name)
        if value is not None:
            return value
        training = PRESETS[self.preset].training
        if self.early_stopping and training["schedule"] == "one-cycle":
            training = {**training, "lr": STOPPED_EARLY * training["lr"], "schedule": "constant"}
        value = training[name]
        return epochs_for(n_samples, value) if isinstance(value, tuple) else value

    def _train(
        self, training: Samples, validation: Samples | None, epochs: int, schedule: str, seed: int
    ) -> None:
        super()._train(training, validation, epochs, schedule, seed)
        with limited_threads(self.n_threads):
            batches = Batches(training, SETTLED_AT_ONCE, device=self.net_.device)
            settle_norms(self.net_.module_, batches)

    def _build_network(self, in_shape: tuple[int, ...], n_outputs: int) -> RFNiN:
        return RFNiN(
            in_shape,
            n_outputs,
            frame=self.frame,
            preset=self.preset,
            widths=self.widths,
            structured_layers=self.structured_layers,
            dropout=self.dropout,
            head_dropout=self.head_dropout,
            linear=self._beside(),
            spacing=self.spacing,
            tolerance=self.tolerance,
            checkpointing=self.checkpointing,
            mixed_precision=self.mixed_precision,
        )


@dataclass(kw_only=True, eq=False, repr=False)
class RFNiNClassifier(RFNiNParameters, NetworkClassifier):
    """Classifier with a Network in Network whose spatial kernels are learned on a frame.

    Groups of frame convolution, 1x1 convolution and pooling, then the mean over space and one
    linear layer; in 1D, 2D and 3D.  The mean knows what there is in a sample, and not where.
    Much of what scans say that are registered to each other is about where, and a linear
    classifier of smoothed voxels is hard to beat on that: one stands beside the network, and
    cross-validation within the training samples decides how much each has to say.

    Parameters
    ----------
    {rfnin}
    linear : bool, default=None
        Whether a linear classifier stands beside the network: logistic regression on smoothed
        samples with every place scaled by itself.  Its penalty, and the factors on both outputs,
        are those of least log loss for samples held out, which takes three more trainings on
        two thirds of the samples each.  None is yes in "small", else no.  ``partial_fit``
        trains the network alone, and so do later fits with ``warm_start``.
    class_weight : dict or "balanced", default=None
    label_smoothing : float, default=None
        Share of every target that is spread over all classes; 0.1 in "small" and "mri", else 0.
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
    shares_ : ndarray, shape (2,)
        Factors on the outputs of the network and of the linear classifier.

    References
    ----------
    J.-H. Jacobsen, J. van Gemert, Z. Lou and A. W. M. Smeulders. Structured receptive fields
    in CNNs. CVPR, 2016.

    M. Lin, Q. Chen and S. Yan. Network in network. ICLR, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct import RFNiNClassifier
    >>> X = np.random.default_rng(0).normal(size=(8, 12, 12, 12))
    >>> model = RFNiNClassifier(max_epochs=1, random_state=0).fit(X, [0, 1] * 4)
    >>> model.predict_proba(X).shape
    (8, 2)
    """

    linear: bool | None = None
    label_smoothing: float | None = None  # type: ignore[assignment]

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **NetworkClassifier._parameter_constraints,
        **RFNiNParameters._parameter_constraints,
        "linear": ["boolean", None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left"), None],
    }

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        groups: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Self:
        """Train on samples and their classes.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            See ``sklstruct.estimators.samples`` for how a sample is read.
        y : array-like, shape (n,)
            Labels of any type.
        sample_weight : array-like, shape (n,), default=None
        groups : array-like, shape (n,), default=None
            Subjects, whose samples are held out together from the linear classifier and the
            networks that decide on their shares.
        X_val, y_val : array-like, default=None
            Samples to watch the loss on; with ``early_stopping``, to stop by.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used; the message says which and why.
        """
        numbers = None if groups is None else subject_numbers(groups, X)
        self._subjects: NDArray[np.intp] | None = numbers  # for as long as the fit lasts
        try:
            return super().fit(X, y, sample_weight, X_val=X_val, y_val=y_val)
        finally:
            del self._subjects

    def _fit(self, X: Rows, y: NDArray[Any], weight: Any, validation: Any) -> Self:
        goes_on = hasattr(self, "net_")
        super()._fit(X, y, weight, validation)
        if self._beside() and not goes_on:
            try:
                self._mix(*with_weight(X, y, weight))
            except BaseException:  # half a mixture is none
                del self.net_
                raise
        return self

    def _mix(self, X: Rows, y: NDArray[Any], weight: Any) -> None:
        """Set the linear classifier beside the network."""
        seeds = check_random_state(self.random_state).randint(MAX_SEED, size=5)[3:].tolist()
        subjects = np.arange(len(X)) if self._subjects is None else self._subjects[X.index]
        with threadpool_limits(self.n_threads, user_api="blas"):
            mix(self, X, y, weight, subjects, seeds)

    def _beside(self) -> bool:
        return PRESETS[self.preset].linear if self.linear is None else self.linear

    @property
    def shares_(self) -> NDArray[Any]:
        """Factors on the outputs of the network and of the linear classifier."""
        check_is_fitted(self)
        shares: NDArray[Any] = self.net_.module_.shares.numpy(force=True)
        return shares


@dataclass(kw_only=True, eq=False, repr=False)
class RFNiNRegressor(RFNiNParameters, NetworkRegressor):
    """Regressor with a Network in Network whose spatial kernels are learned on a frame.

    Parameters
    ----------
    {rfnin}
    {training}

    Attributes
    ----------
    net_, layout_, in_shape_, n_parameters_, loss_curve_
        As of ``RFNiNClassifier``.

    References
    ----------
    J.-H. Jacobsen, J. van Gemert, Z. Lou and A. W. M. Smeulders. Structured receptive fields
    in CNNs. CVPR, 2016.
    """
