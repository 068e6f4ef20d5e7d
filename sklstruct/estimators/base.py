"""The one path from X to outputs, shared by every network estimator of the suite.

X --read--> (n, channels, *spatial) --standardise--> tensor --network--> outputs
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial, partialmethod
from inspect import signature
from math import ceil, prod
from threading import get_ident
from typing import Any, ClassVar, Self, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedGroupKFold, train_test_split
from sklearn.utils import check_array, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ..architecture import make_architecture
from ..compat import (
    CALLBACKS_SET,
    CallbackSupportMixin,
    TransformerMixin,
    check_feature_names_in,
    check_sample_weight,
    with_callbacks,
)
from ..layers import find_layer, outside, start_layers
from ..params import (
    FLAG,
    MAPPING,
    SEED,
    SEQUENCE,
    Params,
    Rule,
    all_or_nothing,
    instance_of,
    integer,
    one_of,
    param,
    plain,
    real,
    same,
)
from ..threads import one_blas_thread
from ..training.augment import augmentation
from ..training.batches import Samples
from ..training.device import (
    MOST_THREADS,
    count_parameters,
    limited_threads,
    resolve_device,
    seeded_initialisation,
)
from ..training.net import EpochTasks, is_callback, make_net, train
from ..training.objectives import NetworkLoss, main_output
from ..training.plan import OPTIMIZERS, SCHEDULES, Plan, epochs_for
from ..training.prediction import run_in_pieces
from ..training.rows import VALUES_AT_ONCE, Unread, channel_scaling
from .carried import CarriesNames
from .held_out import subject_numbers
from .samples import DTYPE, as_array, like_samples, read
from .structure import structure
from .targets import Classes
from .volumes import last_step

RECIPE = {  # values of training parameters that neither the caller nor a preset gives
    "max_epochs": 100,
    "batch_size": 25,
    "lr": 0.01,
    "optimizer": "adamw",
    "schedule": "one-cycle",
    "weight_decay": 0.01,
    "label_smoothing": 0.1,
    "settle_norms": False,
}
# A cycle that is cut off ends where the learning rate is highest: early stopping takes this share
# of the rate, and keeps it.
STOPPED_EARLY = 0.3
SOME, LOST = 64, 1e-3  # samples that an inverse is tried on, and the error that is told
MAX_SEED = np.iinfo(np.int32).max
THREADS = integer(1, MOST_THREADS) | None
TRAIN_LAYERS = one_of("all", "last") | Rule("a sequence of names of layers", SEQUENCE.holds)
CALLBACKS = Rule(
    "a list of skorch callbacks",
    lambda v: isinstance(v, list) and all(map(is_callback, v)),
)


def may_have_inverse(estimator: Any) -> bool:
    """Return whether the network has an inverse, or there is none yet."""
    return not hasattr(estimator, "net_") or hasattr(estimator.net_.module_, "inverse")


class NetworkEstimator(Params, TransformerMixin, CallbackSupportMixin, CarriesNames):
    """Train a network that maps samples to outputs.

    An estimator joins an architecture, which builds the network, and a codec, which says what y
    is.  A named estimator is its own architecture: ``class RFNNClassifier(RFNN,
    NetworkClassifier)`` has the parameters of both.

    Parameters
    ----------
    image_shape : tuple of int, default=None
        Shape into which flat rows of X are folded, such as (28, 28) or (3, 32, 32).
    layout : str, default=None
        Axes of one sample: "L", "CL", "LC", "HW", "CHW", "HWC", "DHW", "CDHW" or "DHWC".  If
        None, decided by the rule of ``sklstruct.estimators.samples``; see ``layout_``.
    standardize : bool, default=True
        Whether to subtract the mean of every channel over the training samples, and to divide
        by its standard deviation.
    max_epochs : int, default=None
        Passes over the training samples.  None is, as for the next ones, what the preset of the
        architecture has, or else 100.
    batch_size : int, default=None
        Largest number of samples in a batch; 25.
    lr : float, default=None
        Learning rate; with a schedule, the highest one; 0.01.
    optimizer : {"adamw", "adam", "sgd", "adadelta"}, default=None
        "adamw".
    schedule : {"one-cycle", "cosine", "linear", "constant"}, default=None
        Course of the learning rate over the steps of a fit; "one-cycle".  With
        ``early_stopping``, None is a constant rate of 0.3 ``lr`` in place of a cycle, which
        would be cut off where the rate is highest.  ``partial_fit`` keeps the rate constant.
    weight_decay : float, default=None
        Of weights; biases and norms are not decayed; 0.01.
    param_groups : sequence of (pattern, dict), default=None
        Other values of "lr" and "weight_decay" for parameters whose names in ``net_.module_``
        match a pattern, such as ``("stages.0.*", {"lr": 0.001})``.
    init : dict, default=None
        What layers start from, by their names in ``net_.module_``; the others are drawn.  A frame
        (a registered name, a family or a ``Frame``), whose atoms are the first kernels; or a
        fitted estimator, whose layer of that name is taken over, or a pair of one and the name
        of its layer: ``{"stages": source}`` transfers what another task has learned.  See
        ``sklstruct.layers.start_layers``.  In the grid of a search, fitted estimators must be
        wrapped in scikit-learn's ``FrozenEstimator``, as it clones what it tries.
    train_layers : {"all", "last"} or sequence of str, default="all"
        Which layers learn, by their names; "last" is the head.  All other parameters stay as they
        start, and norms keep their statistics.  With ``warm_start``, others may learn later on.
    objective : callable, default=None
        Maps (network, x, y) to the loss of each sample, (n,); see ``sklstruct.training``.  None
        is the ``loss`` of the network if it has one, else what suits y.
    augment : None, "digits", "natural", "crops", "flips" or callable, default=None
        Random changes of the training samples; see ``sklstruct.estimators.Augment``.
    early_stopping : bool, default=False
        Whether to stop when the validation loss no longer falls, and go back to the best epoch.
    validation_fraction : float, default=0.1
        Share of the training samples set aside for that, if ``fit`` is given no ``X_val``.
    n_iter_no_change : int, default=10
        Epochs without improvement before stopping.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the present weights.  Parameters of the training may be set
        in between, those of the network and of the reading of X may not.
    callbacks : list of skorch callbacks, default=None
        One that raises KeyboardInterrupt ends the training.  Callbacks of scikit-learn 1.9, such
        as its ProgressBar, are given to ``set_callbacks`` instead, also of a grid search; every
        epoch is a task to them.
    feature_layer : str, default=None
        Name of the layer whose output ``transform`` returns, as in ``net_.module_``; if None,
        what the head of the network reads.
    device : str, default="auto"
        Any torch device; "auto" takes the environment variable SKLSTRUCT_DEVICE, else CUDA, MPS
        or the CPU, whichever is there first.
    dtype : {"float32", "float64"}, default="float32"
    n_threads : int, default=1
        Threads of torch on a CPU.  Another number rounds sums in another order, so results
        repeat bit by bit for equal numbers only; None takes torch's own setting.
    random_state : int, RandomState or None, default=None
        Decides weights, order, dropout and augmentation.
    verbose : int, default=0
        1 prints a line an epoch.

    Attributes
    ----------
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

    See Also
    --------
    StructuredClassifier, StructuredRegressor : Any architecture as an estimator.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> digits = load_digits()
    >>> model = RFNNClassifier(widths=(4,), max_epochs=3, random_state=0)
    >>> model = model.fit(digits.images[:50], digits.target[:50])
    >>> model.in_shape_, model.n_parameters_, len(model.loss_curve_)
    ((1, 8, 8), 698, 3)
    """

    image_shape: tuple[int, ...] | None = None
    layout: str | None = None
    dtype: str = param("float32", DTYPE)
    standardize: bool = param(True, FLAG)
    max_epochs: int | None = param(None, integer(1) | None, may_change=True)
    batch_size: int | None = param(None, integer(1) | None, may_change=True)
    lr: float | None = param(None, real(above=0) | None, may_change=True)
    optimizer: str | None = param(None, one_of(*OPTIMIZERS) | None)
    schedule: str | None = param(None, one_of(*SCHEDULES) | None, may_change=True)
    weight_decay: float | None = param(None, real(least=0) | None, may_change=True)
    param_groups: Any = param(None, SEQUENCE | None)
    init: Mapping[str, Any] | None = param(None, MAPPING | None, may_change=True)
    train_layers: str | Sequence[str] = param("all", TRAIN_LAYERS, may_change=True)
    objective: Any = param(None, Rule("a function", callable) | None, may_change=True)
    augment: Any = param(None, resolve=augmentation, may_change=True)
    early_stopping: bool = param(False, FLAG, may_change=True)
    validation_fraction: float = param(0.1, real(above=0, below=1), may_change=True)
    n_iter_no_change: int = param(10, integer(1), may_change=True)
    warm_start: bool = param(False, FLAG, may_change=True)
    callbacks: list[Any] | None = param(None, CALLBACKS | None, may_change=True)
    feature_layer: str | None = param(None, instance_of("a name", str) | None, may_change=True)
    device: str = param("auto", instance_of("the name of a device", str))
    n_threads: int | None = param(1, THREADS, may_change=True)
    random_state: int | np.random.RandomState | None = param(None, SEED, may_change=True)
    verbose: int = param(0, integer(0) | FLAG, may_change=True)

    _target: ClassVar[Any]  # the codec of y
    _fewest_features: ClassVar[int] = 1
    _sees_places: ClassVar[bool] = True
    _dense: ClassVar[bool] = False  # whether there is an output at every place

    _read = partialmethod(read, lazily=True)

    @with_callbacks
    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Self:
        """Train on samples and their targets.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            See ``sklstruct.estimators.samples`` for how a sample is read.
        y : array-like, shape (n,)
            Labels of any type for a classifier; for a regressor numbers, also (n, n_values).
        sample_weight : array-like, shape (n,), default=None
            Not negative; samples of weight 0 are left out.
        groups : array-like, shape (n,), default=None
            Subjects, whose samples are set aside together where ``early_stopping`` does so.
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
        self.check_params()
        warm = self.warm_start and hasattr(self, "net_")
        if not warm:
            self.__dict__.pop("net_", None)  # lest a failure leave a mixture of two fits
        if (X_val is None) != (y_val is None):
            given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
            raise ValueError(f"{given} was given without {missing}.")
        told = {"estimator": self, "X": X, "y": y}  # to callbacks of scikit-learn
        X, y, weight, kept = self._read_pairs(X, y, sample_weight, reset=not warm)
        groups = None if groups is None else subject_numbers(groups, X)
        before = self.target_ if warm else None
        if getattr(self, "class_weight", None) is not None:
            classes = self._target.of(y, weight, estimator=self)
            weight = classes.weighed(y, weight, self.class_weight)
            y, weight, kept = self._with_weight(y, weight, kept)
        self.target_: Any = self._target.of(y, weight, before, estimator=self)
        if warm:
            self._check_unchanged()
        # All are drawn whether they are needed or not, so that no option changes the others.
        init, split, order = check_random_state(self.random_state).randint(MAX_SEED, size=3)
        if not warm:
            self._start(X, weight, kept, init, split)
        validation = None
        if X_val is not None:
            X_val, y_val, _, _ = self._read_pairs(X_val, y_val, None, reset=False)
            validation = self._data(X_val, y_val, None, np.arange(len(y_val)))
        training = self._data(X, y, weight, kept)
        if self.early_stopping and validation is None:
            if groups is not None:
                groups = groups[training.index]
            training, validation = self._hold_out(training, groups, seed=self._split)
        plan = self._plan(len(training))
        if not getattr(self, CALLBACKS_SET, None):
            return self._train(training, validation, plan, order)
        context = self._init_callback_context(max_subtasks=plan.max_epochs)
        context.call_on_fit_task_begin(**told)
        self._train(training, validation, plan, order, EpochTasks(context, told))
        context.call_on_fit_task_end(**told, reconstruction_attributes={})
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the features of a layer, see ``feature_layer``.

        Parameters
        ----------
        X : array-like, shape (n, ...)

        Returns
        -------
        features : ndarray, shape (n, n_features_out)
        """
        check_is_fitted(self)
        features = self._features(self._read(X, reset=False))
        return features.reshape(len(features), -1)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return a name such as ``stages.2[5,0,3]`` for every feature of ``transform``."""
        check_is_fitted(self)
        check_feature_names_in(self, input_features, generate_names=False)
        layer = self.feature_layer or "features"
        places = (",".join(map(str, index)) for index in np.ndindex(self._feature_shape()))
        return np.array([f"{layer}[{place}]" for place in places], dtype=object)

    @available_if(may_have_inverse)
    def inverse_transform(self, features: Any) -> NDArray[Any]:
        """Return the samples that have these features, for a network that has an inverse.

        Parameters
        ----------
        features : array-like, shape (n, n_features_out)
            As ``transform`` returns them, of the whole network or of the ``feature_layer`` that
            is set, if the network knows an inverse of that one.

        Returns
        -------
        X : ndarray, shape (n, ...)
            In layout, units and shape as ``fit`` had them.

        Raises
        ------
        ValueError
            If features have another number than those of ``transform``, or are not finite, or
            their layer has no inverse.
        """
        check_is_fitted(self)
        network: Any = self.net_.module_
        layer = self.feature_layer
        if layer is not None and "layer" not in signature(network.inverse).parameters:
            raise ValueError(
                "inverse_transform needs the features of the whole network: set "
                f"feature_layer=None, got {layer!r}."
            )
        shape = self._feature_shape()
        Z = check_array(
            features, dtype=self._built_with["dtype"], ensure_all_finite=False, ensure_2d=False
        )
        if Z.ndim != 2 or Z.shape[1] != np.prod(shape):
            raise ValueError(f"features must have shape (n, {np.prod(shape)}), got {Z.shape}.")
        if not np.isfinite(Z).all():
            raise ValueError("features must be finite, got NaN or infinity.")
        inverse = network.inverse if layer is None else partial(network.inverse, layer=layer)
        x = self._run(
            Z.reshape(len(Z), *shape), inverse, prepare=torch.tensor, in_shape=self.in_shape_
        )
        samples = self._unstandardised(x).astype(x.dtype)
        return like_samples(samples, self.layout_, self.sample_shape_)

    @available_if(may_have_inverse)
    def reconstruction_error(self, X: Any) -> float:
        r"""Return how far samples are from what the inverse makes of their features.

        .. math:: \frac{1}{n} \sum_x \frac{\|x - \Phi^{-1} \Phi x\|}{\|x\|}

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had; x is such a sample as the network reads it,
            standardised.

        Returns
        -------
        error : float
            Some 5e-6 in single precision for an i-RevNet on samples of unit deviation, which is
            how far rounding moves them.
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        return float(self._run(X, partial(reconstruction_errors, self.net_.module_)).mean())

    def describe(self, in_shape: tuple[int, ...] | None = None, n_outputs: int = 2) -> pd.DataFrame:
        """Return the layers of the network as a table, with what their structure saves.

        Parameters
        ----------
        in_shape : tuple of int, default=None
            Shape of one sample, (channels, *spatial).  None is that of a fitted estimator.
        n_outputs : int, default=2
            Number of outputs, where there is no fitted estimator.

        Returns
        -------
        table : DataFrame
            See ``sklstruct.inspection.structure``.

        Raises
        ------
        ValueError
            If nothing is fitted and there is no ``in_shape``.
        """
        return structure(self, in_shape, n_outputs)

    # The steps of a fit ---------------------------------------------------------------------

    def _architecture(self) -> Any:
        """Return what builds the network: a parameter, or the estimator itself."""
        return make_architecture(self.architecture) if hasattr(self, "architecture") else self

    def _read_pairs(self, X: Any, y: Any, sample_weight: Any, *, reset: bool) -> Any:
        """Return all samples, and of those with weight the targets, weights and numbers."""
        fewest = {"ensure_min_samples": 2, "ensure_min_features": self._fewest_features}
        X, y = self._read(X, y, reset=reset, **(fewest if reset else {}), **self._target.checks)
        y, kept = self._target.read(y), np.arange(len(y))
        if sample_weight is None:
            return X, y, None, kept
        weight = check_sample_weight(
            as_array(sample_weight), y, dtype=np.float64, ensure_non_negative=True, copy=True
        )
        return X, *self._with_weight(y, weight, kept)

    def _with_weight(self, y: Any, weight: Any, kept: Any) -> Any:
        """Leave out samples without weight, which batch norm would not; X is not copied."""
        some = np.flatnonzero(weight)
        if not len(some):
            raise ValueError("No sample has weight: sample_weight or class_weight is 0 for all.")
        return y[some], weight[some], kept[some]

    def _plan(self, n_samples: int) -> Plan:
        """Return how the network is trained on so many samples."""
        published: Mapping[str, Any] = getattr(self._architecture(), "published", dict)()
        known = {name: published[name] for name in RECIPE if name in published}
        values: dict[str, Any] = RECIPE | known
        own = {name: getattr(self, name, None) for name in RECIPE}
        if self.early_stopping and own["schedule"] is None and values["schedule"] == "one-cycle":
            values |= {"schedule": "constant", "lr": STOPPED_EARLY * values["lr"]}
        if not isinstance(values["max_epochs"], int):
            values["max_epochs"] = epochs_for(n_samples, values["max_epochs"])
        return Plan(
            **values | {name: value for name, value in own.items() if value is not None},
            groups=self.param_groups or (),
            patience=self.n_iter_no_change if self.early_stopping else None,
        )

    def _start(self, X: Any, weight: Any, kept: Any, init: int, split: int) -> None:
        """Find the scaling of the samples, and build the network."""
        self._split = int(split)  # kept, as a warm start must not learn from what was set aside
        self.in_shape_ = X.shape[1:]
        self.mean_, self.scale_ = np.zeros(X.shape[1]), np.ones(X.shape[1])
        if self.standardize:
            self.mean_, self.scale_ = self._channel_scaling(X, kept, weight)
        # Copies: what the caller changes within an object later was not built with.
        self._built_with = {
            one.name: copy.deepcopy(getattr(self, one.name))
            for one in fields(self)
            if not one.metadata.get("may_change")
        }
        self._begin(init, len(kept))

    def _begin(self, seed: int, n_samples: int) -> None:
        """Build the network, and let it be what a training starts from."""
        self._build(seed, resolve_device(self.device), self._plan(n_samples))
        if self.init:
            sources = {name: network_of(name, source) for name, source in self.init.items()}
            with seeded_initialisation(int(seed)):
                start_layers(self.net_.module_, sources)

    _channel_scaling: ClassVar[Callable[..., Any]] = staticmethod(channel_scaling)

    def _build(self, seed: int, device: str, plan: Plan) -> None:
        """Build the network for the samples and the targets at hand, and the net that trains it."""
        architecture = self._architecture()
        if isinstance(architecture, Params):
            architecture.check_params()
        dense = getattr(architecture, "dense", self._dense)  # of a function, it is not known
        if dense != self._dense:
            kind, other = ("maps", "") if self._dense else ("one output a sample", "Map")
            raise TypeError(
                f"{type(self).__name__} needs an architecture that gives {kind}, but "
                f"{type(architecture).__name__} does not: see Structured{other}Classifier."
            )
        build = getattr(architecture, "build", architecture)
        with seeded_initialisation(int(seed)), limited_threads(self.n_threads), one_blas_thread():
            network = build(self.in_shape_, self.target_.n_outputs)
            if not isinstance(network, nn.Module):
                name = getattr(architecture, "__name__", type(architecture).__name__)
                raise TypeError(f"{name} must build an nn.Module, got {type(network).__name__}.")
            network = network.to(getattr(torch, self.dtype))
        if self.feature_layer is not None:
            find_layer(network, self.feature_layer, "feature_layer")  # known before a training
        plan.check_names(network)
        self.n_parameters_ = count_parameters(network)
        self.net_ = make_net(
            network,
            plan,
            n_outputs=self.target_.n_outputs,
            classifies=isinstance(self.target_, Classes),
            device=device,
        )

    def _data(self, X: Any, y: Any, weight: Any, kept: Any) -> Any:
        """Return what the net trains on."""
        weight = np.ones(len(y)) if weight is None else weight
        # With mean one, the unit of the weights does not act like a learning rate.
        weight = torch.from_numpy((weight / weight.mean()).astype(self.dtype))
        targets = self.target_.encode(y, self.dtype)
        return Samples(X, kept, targets, weight, self._to_tensor)

    def _to_tensor(self, X: NDArray[Any]) -> Tensor:
        """Return samples as a standardised tensor with memory of its own."""
        shape = -1, *(1,) * (X.ndim - 2)
        mean, scale = self.mean_.reshape(shape), self.scale_.reshape(shape)
        # As the network was built: the parameter may have been set since.
        out = np.empty(X.shape, self._built_with["dtype"])
        size = max(1, VALUES_AT_ONCE // prod(X.shape[1:]))
        for start in range(0, len(X), size):
            centred = X[start : start + size] - mean
            out[start : start + size] = np.divide(centred, scale, out=centred)
        return torch.from_numpy(out)

    def _unstandardised(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return standardised samples (n, channels, *spatial) in the units of X."""
        ones = -1, *(1,) * (x.ndim - 2)
        return x * self.scale_.reshape(ones) + self.mean_.reshape(ones)

    def _train(
        self, training: Any, validation: Any, plan: Plan, seed: int, *callbacks: Any
    ) -> Self:
        """Let the net run over the training samples as a plan says."""
        net = self.net_
        plan = replace(plan, frozen=outside(net.module_, plain(self.train_layers)))
        objective: Any = self.objective
        if objective is None:
            by_y = self.target_.objective(plan.label_smoothing)
            objective = NetworkLoss() if hasattr(net.module_, "loss") else by_y
        if hasattr(architecture := self._architecture(), "penalised"):
            objective = architecture.penalised(objective)
        try:
            train(
                net,
                plan,
                objective,
                training,
                validation,
                generator=torch.Generator().manual_seed(int(seed)),
                augment=None if self.augment is None else augmentation(self.augment),
                callbacks=[*(self.callbacks or []), *callbacks],
                n_threads=self.n_threads,
                verbose=self.verbose,
            )
        except BaseException as failure:  # half a training is none
            del self.net_
            if "more than 1 value per channel" in str(failure):  # of batch norm
                raise ValueError(
                    f"A single sample of shape {self.in_shape_} is too small a batch for batch "
                    f"norm: more or larger samples are needed, and batch_size={plan.batch_size} "
                    "to be above 1."
                ) from failure
            raise
        self.n_parameters_ = count_parameters(net.module_, plan.frozen)
        self.n_iter_ = len(net.history)
        self.loss_curve_ = net.history[:, "train_loss"]
        # Not only the loss: running statistics may overflow while the loss is still finite.
        if not all(torch.isfinite(v).all() for v in net.module_.state_dict().values()):
            del self.net_
            loss = self.loss_curve_[-1]
            raise ValueError(f"The training diverged (last loss {loss:.3g}): lower lr={plan.lr}.")
        if hasattr(net.module_, "inverse"):
            x, *_ = training.batch(np.arange(min(SOME, len(training))), None)
            find = partial(reconstruction_errors, net.module_)
            if not (error := self._run(x.numpy(), find, prepare=torch.tensor).mean()) < LOST:
                warnings.warn(
                    f"The inverse of the trained network loses {error:.1g} of the norm of samples, "
                    f"more than {LOST:g}: activations are beyond the range in which it is exact.  "
                    "standardize=True, a smaller lr or dtype='float64' may help.",
                    RuntimeWarning,
                    stacklevel=3,
                )
        return self

    @all_or_nothing
    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, target: Any = None) -> Self:
        """Train for one more epoch at a constant learning rate."""
        self.check_params()
        first = not hasattr(self, "net_")
        X, y, weight, kept = self._read_pairs(X, y, sample_weight, reset=first)
        if first:
            self.target_ = self._target.of(y, weight, estimator=self) if target is None else target
        if getattr(self, "class_weight", None) is not None:
            weight = self.target_.weighed(y, weight, self.class_weight)
            if not first and not any(map(np.any, weight)):
                return self  # a batch of classes that do not count
            y, weight, kept = self._with_weight(y, weight, kept)
        init, split, order = check_random_state(self.random_state).randint(MAX_SEED, size=3)
        if first:
            self._start(X, weight, kept, init, split)
        else:
            self._check_unchanged()
        plan = replace(self._plan(len(y)), max_epochs=1, schedule="constant", patience=None)
        epoch = len(self.net_.history)  # lest every call shuffles alike
        return self._train(self._data(X, y, weight, kept), None, plan, (order + epoch) % MAX_SEED)

    def _check_unchanged(self) -> None:
        """Raise ValueError if a parameter is other than when training began that must not be."""
        for name, before in self._built_with.items():
            if not same(getattr(self, name), before):
                raise ValueError(f"{name} was {before!r} when training began and cannot change.")

    def _hold_out(self, data: Any, groups: Any, seed: int) -> tuple[Any, Any]:
        """Split samples into training and validation."""
        labels, n = self.target_.strata(data.y), len(data)
        if groups is not None:
            if len(np.unique(groups)) < 2:
                raise ValueError(
                    "early_stopping=True cannot set subjects aside: groups must have at least two, "
                    "got one.  Give fit X_val and y_val, or switch it off."
                )
            folds = StratifiedGroupKFold(
                min(max(2, round(1 / self.validation_fraction)), len(np.unique(groups))),
                shuffle=True,
                random_state=int(seed),
            )
            parts = next(
                folds.split(np.zeros(n), np.zeros(n) if labels is None else labels, groups)
            )
            return data.take(parts[0]), data.take(parts[1])
        # Of each class at least one sample is needed on both sides.
        n_strata = 1 if labels is None else len(np.unique(labels))
        n_valid = max(ceil(self.validation_fraction * n), n_strata)
        if n - n_valid < n_strata or (labels is not None and np.bincount(labels).min() < 2):
            raise ValueError(
                f"early_stopping=True cannot set samples aside: {n} samples are too few, or a "
                "class has a single one.  Give fit X_val and y_val, or switch it off."
            )
        train, valid = train_test_split(
            np.arange(n), test_size=n_valid, random_state=int(seed), stratify=labels
        )
        return data.take(train), data.take(valid)

    # After it -------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> NDArray[Any]:
        """Return the network's outputs, shape (n, n_outputs)."""
        check_is_fitted(self)
        network = self.net_.module_
        return self._run(self._read(X, reset=False), lambda x: main_output(network(x)))

    def _run(
        self,
        X: NDArray[Any] | Unread,
        function: Callable[[Tensor], Tensor],
        prepare: Callable[[NDArray[Any]], Tensor] | None = None,
        in_shape: tuple[int, ...] | None = None,
    ) -> NDArray[Any]:
        """Apply a function that runs the network to samples, a few at a time."""
        module = self.net_.module_.eval()
        device = next(module.parameters()).device
        prepare = prepare or self._to_tensor
        return run_in_pieces(function, X, prepare, device, self.n_threads, in_shape)

    def _features(self, X: NDArray[Any] | Unread) -> NDArray[Any]:
        """Return what passes the feature layer, in the shape it has there."""
        with representation(self.net_.module_, self.feature_layer) as features:
            return self._run(X, features)

    def _feature_shape(self) -> tuple[int, ...]:
        """Return the shape of the features of one sample."""
        return self._features(np.zeros((1, *self.in_shape_), self.dtype)).shape[1:]

    # What scikit-learn asks -----------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = [self.dtype]
        return tags

    def __sklearn_clone__(self) -> Self:
        # Sources of ``init`` stay fitted: what they have learned is what they are there for.
        bare = copy.copy(self)
        bare.init = None
        made = super(NetworkEstimator, bare).__sklearn_clone__()
        made.init = self.init
        return made


@contextmanager
def representation(
    module: nn.Module, layer: str | None, parameter: str = "feature_layer"
) -> Iterator[Callable[[Tensor], Tensor]]:
    """Give the function from samples to what passes a layer, or to the features if it is None."""
    if layer is not None:
        with watched(module, [layer], parameter=parameter) as outputs:
            yield lambda x: outputs(x)[0]
        return
    if not hasattr(module, "features"):
        raise ValueError(
            f"The network {type(module).__name__} has no features(x): name a layer with "
            f"{parameter}."
        )
    yield cast(Any, module).features


@contextmanager
def watched(
    module: nn.Module,
    names: Sequence[str],
    reduce: Callable[[Any], Tensor] | None = None,
    parameter: str = "feature_layer",
    entering: bool = False,
) -> Iterator[Callable[[Tensor], list[Tensor]]]:
    """Give the function that runs a network once and returns what passes some of its layers.

    Parameters
    ----------
    module : nn.Module
        The network.
    names : sequence of str
        Those of the layers.
    reduce : callable, default=None
        What is kept of it, when the layer has run; None keeps it as it is.
    parameter : str, default="feature_layer"
        What names a layer, for the message if there is no such layer.
    entering : bool, default=False
        Whether it is what layers are given, in place of what they give.
    """
    layers = {name: find_layer(module, name, parameter) for name in names}
    seen: dict[tuple[int, str], Tensor] = {}  # by thread: others may run the same network

    def keep(name: str, layer: nn.Module, args: Any, output: Any) -> None:
        passing = args[0] if entering else output
        if reduce is not None:
            passing = reduce(passing)
        elif isinstance(passing, Tensor):
            passing = passing.clone()  # what follows may change it in place
        seen[get_ident(), name] = passing

    def outputs(x: Tensor) -> list[Tensor]:
        module(x)
        for name in names:
            if (get_ident(), name) not in seen:
                raise ValueError(f"{parameter}={name!r} is a layer that the network does not run.")
        return [seen.pop((get_ident(), name)) for name in names]

    handles = [layer.register_forward_hook(partial(keep, name)) for name, layer in layers.items()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def reconstruction_errors(network: Any, x: Tensor) -> Tensor:
    """Return what the inverse loses of each sample, relative to its norm, (n,)."""
    lost = (x - network.inverse(network.features(x))).flatten(1).norm(dim=1)
    return lost / x.flatten(1).norm(dim=1).clamp_min(torch.finfo(x.dtype).tiny)


def network_of(name: str, source: Any) -> Any:
    """Return a source of ``init`` with the networks of fitted estimators in place of these."""
    if isinstance(source, tuple):
        return (*(network_of(name, first) for first in source[:1]), *source[1:])
    if not hasattr(source, "fit"):
        return source
    inner = source.estimator if isinstance(source, FrozenEstimator) else last_step(source)
    inner = getattr(inner, "best_estimator_", inner)
    if inner is not source:
        return network_of(name, inner)
    if not hasattr(source, "net_"):
        raise ValueError(
            f"init[{name!r}] must be a frame or a fitted network estimator, got {source!r}.  "
            "A search over init clones what it tries: give it FrozenEstimator(source)."
        )
    return source.net_.module_
