"""The one path from X to outputs, shared by every network estimator of the suite.

X --read--> (n, channels, *spatial) --standardise--> tensor --network--> outputs
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
)
from skorch.callbacks import EarlyStopping, LRScheduler
from skorch.helper import predefined_split
from torch import Tensor, nn

from ..layers import adopt_dropout
from .augment import augmentation
from .features import LayerFeatures, named_layer
from .named import NamedParameters
from .prediction import run_in_pieces
from .rows import Rows, channel_scaling, in_pieces
from .training import (
    OPTIMIZERS,
    SCHEDULES,
    Batches,
    Net,
    Samples,
    count_parameters,
    limited_threads,
    make_optimizer,
    make_schedule,
    resolve_device,
    seeded_initialisation,
    set_rates,
)

TRAINING_PARAMETERS = """image_shape : tuple of int, default=None
        Shape into which flat rows of X are folded, such as (28, 28) or (3, 32, 32).
    layout : str, default=None
        Axes of one sample: "L", "CL", "LC", "HW", "CHW", "HWC", "DHW", "CDHW" or "DHWC".  If
        None, decided by the rule of ``sklstruct.estimators.samples``; see ``layout_``.
    standardize : bool, default=True
        Whether to subtract the mean of every channel over the training samples, and to divide
        by its standard deviation.
    max_epochs : int
        Passes over the training samples.
    batch_size : int
        Largest number of samples in a batch.
    lr : float
        Learning rate; with a schedule, the highest one.
    optimizer : {"adamw", "adam", "sgd", "adadelta"}
    schedule : {"one-cycle", "cosine", "linear", "constant"}
        Course of the learning rate over the steps of a fit.  ``partial_fit`` keeps it constant.
    weight_decay : float
        Of weights; biases and norms are not decayed.
    augment : None, "digits", "natural", "crops" or callable, default=None
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
        They meet targets as pairs of y and sample weight; losses are in the history.
    feature_layer : str, default=None
        Name of the layer whose output ``transform`` returns, as in ``net_.module_``; if None,
        what enters the last linear layer.
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
        1 prints a line an epoch."""

MAY_CHANGE = {  # parameters that a net follows when its training goes on
    *("max_epochs", "batch_size", "lr", "schedule", "weight_decay", "augment", "early_stopping"),
    *("validation_fraction", "n_iter_no_change", "warm_start", "callbacks", "feature_layer"),
    *("n_threads", "random_state", "verbose", "class_weight", "label_smoothing"),
}
MAX_SEED = np.iinfo(np.int32).max


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkEstimator(NamedParameters, LayerFeatures):
    """Train a network that maps samples to outputs.

    A subclass defines ``_build_network``; ``NetworkClassifier`` and ``NetworkRegressor`` say
    what outputs mean.
    """

    standardize: bool = True
    max_epochs: int = 100
    batch_size: int = 25
    lr: float = 0.01
    optimizer: str = "adamw"
    schedule: str = "one-cycle"
    weight_decay: float = 0.01
    augment: Any = None
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    warm_start: bool = False
    callbacks: list[Any] | None = None
    device: str = "auto"
    n_threads: int | None = 1
    random_state: int | np.random.RandomState | None = None
    verbose: int = 0

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "standardize": ["boolean"],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "optimizer": [StrOptions(set(OPTIMIZERS))],
        "schedule": [StrOptions(set(SCHEDULES))],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "callbacks": [list, None],
        **LayerFeatures._parameter_constraints,
        "device": [str],
        "dtype": [StrOptions({"float32", "float64"})],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__doc__:  # written once, shown by help() for every estimator
            cls.__doc__ = cls.__doc__.replace("{training}", TRAINING_PARAMETERS)

    # What a subclass says -------------------------------------------------------------------

    def _build_network(self, in_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Return a network from (n, *in_shape) to (n, n_outputs)."""
        raise NotImplementedError(f"{type(self).__name__} must define _build_network.")

    def _criterion(self) -> nn.Module:
        """Return the loss, without reduction over the samples."""
        raise NotImplementedError(f"{type(self).__name__} must define _criterion.")

    def _n_outputs(self) -> int:
        """Return the number of outputs of the network."""
        raise NotImplementedError(f"{type(self).__name__} must define _n_outputs.")

    def _stratify(self, samples: Samples) -> NDArray[Any] | None:
        """Return labels that both parts of a hold-out should have in equal shares, or None."""
        return None

    def _setting(self, name: str, n_samples: int) -> Any:
        """Return the value of a training parameter that is in force."""
        return getattr(self, name)

    # From X to outputs ----------------------------------------------------------------------

    def _outputs(self, X: Any) -> NDArray[Any]:
        """Return the network's outputs, shape (n, n_outputs)."""
        check_is_fitted(self)
        return self._run(self._read_rows(X, reset=False), self.net_.module_)

    def _run(self, X: NDArray[Any] | Rows, function: Callable[[Tensor], Tensor]) -> NDArray[Any]:
        """Apply a function that runs the network to samples, a few at a time."""
        module = self.net_.module_.eval()
        device = next(module.parameters()).device
        return run_in_pieces(function, X, self._to_tensor, device, self.n_threads)

    def _to_tensor(self, X: NDArray[Any]) -> Tensor:
        """Return samples as a standardised tensor with memory of its own."""
        shape = -1, *(1,) * (X.ndim - 2)
        mean, scale = self.mean_.reshape(shape), self.scale_.reshape(shape)
        out = np.empty(X.shape, self._built_dtype)
        for rows in in_pieces(X):
            centred = X[rows] - mean
            out[rows] = np.divide(centred, scale, out=centred)
        return torch.from_numpy(out)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    # Training -------------------------------------------------------------------------------

    def _fit(self, X: Rows, y: NDArray[Any], weight: Any, validation: Any) -> Self:
        """Train for all epochs, from the start or (warm start) from the present weights."""
        init, split, order = check_random_state(self.random_state).randint(MAX_SEED, size=3)
        X, y, weight = with_weight(X, y, weight)
        if not hasattr(self, "net_"):
            self._start(X, weight, seed=init)
        training = self._samples(X, y, weight)
        if validation is not None:
            X_val, y_val = validation
            validation = self._samples(X_val, y_val, None)
        elif self.early_stopping:
            training, validation = self._hold_out(training, seed=split)
        schedule = self._setting("schedule", len(X))
        self._train(training, validation, self._setting("max_epochs", len(X)), schedule, order)
        return self

    def _partial_fit(self, X: Rows, y: NDArray[Any], weight: Any) -> Self:
        """Train for one more epoch at a constant learning rate."""
        init, _, order = check_random_state(self.random_state).randint(MAX_SEED, size=3)
        X, y, weight = with_weight(X, y, weight)
        if not hasattr(self, "net_"):
            self._start(X, weight, seed=init)
        epoch = len(self.net_.history)  # lest every call shuffles alike
        self._train(self._samples(X, y, weight), None, 1, "constant", (order + epoch) % MAX_SEED)
        return self

    def _is_warm(self) -> bool:
        """Whether a fit goes on; if not, forget the last one, lest a failure leave a mixture."""
        if hasattr(self, "net_") and not self.warm_start:
            del self.net_
        return hasattr(self, "net_")

    def _start(self, X: Rows, weight: Any, seed: int) -> None:
        """Find the scaling of the samples, and build the network."""
        self.in_shape_ = X.shape[1:]
        self.mean_, self.scale_ = np.zeros(X.shape[1]), np.ones(X.shape[1])
        if self.standardize:
            self.mean_, self.scale_ = channel_scaling(X, weight)
        with seeded_initialisation(int(seed)):
            module = self._build_network(self.in_shape_, self._n_outputs())
        if self.feature_layer is not None:
            named_layer(module, self.feature_layer)  # known before a long training
        self.n_parameters_ = count_parameters(module)
        self._built_with, self._built_dtype = self._fixed_parameters(), self.dtype
        self.net_ = self._make_net(module, resolve_device(self.device), len(X))

    def _make_net(self, module: nn.Module, device: str, n_samples: int = 1) -> Net:
        """Return the net that trains a network on so many samples, ready to start."""
        return Net(
            module.to(getattr(torch, self.dtype)),
            criterion=self._criterion(),
            optimizer=make_optimizer,
            optimizer__name=self._setting("optimizer", n_samples),
            optimizer__weight_decay=self._setting("weight_decay", n_samples),
            lr=self._setting("lr", n_samples),
            batch_size=self._setting("batch_size", n_samples),
            iterator_train=Batches,
            iterator_valid=Batches,
            train_split=None,
            device=device,
            verbose=self.verbose,
        ).initialize()

    def _samples(self, X: Rows, y: NDArray[Any], weight: Any) -> Samples:
        """Return what the net trains on."""
        weight = np.ones(len(X)) if weight is None else weight
        weight = torch.from_numpy((weight / weight.mean()).astype(self.dtype))
        return Samples(X, torch.from_numpy(y), weight, self._to_tensor)

    def _hold_out(self, samples: Samples, seed: int) -> tuple[Samples, Samples]:
        """Split samples into training and validation."""
        labels = self._stratify(samples)
        groups = 1 if labels is None else len(np.unique(labels))
        n_valid = max(ceil(self.validation_fraction * len(samples)), groups)
        if len(samples) - n_valid < groups or (
            labels is not None and np.bincount(labels).min() < 2
        ):
            raise ValueError(
                f"early_stopping=True cannot set samples aside: {len(samples)} samples are too "
                "few, or a class has a single one.  Give fit X_val and y_val, or switch it off."
            )
        parts = train_test_split(
            np.arange(len(samples)), test_size=n_valid, random_state=int(seed), stratify=labels
        )
        train, valid = map(samples.take, parts)
        return train, valid

    def _train(
        self, training: Samples, validation: Samples | None, epochs: int, schedule: str, seed: int
    ) -> None:
        """Let the net run over the training samples for some epochs."""
        net, n = self.net_, len(training)
        generator = torch.Generator().manual_seed(int(seed))
        self._renew_settings(n)
        lr = self._setting("lr", n)
        n_steps = epochs * len(Batches(training, net.batch_size))
        adopt_dropout(net.module_, generator)
        net.callbacks = self._make_callbacks(schedule, lr, n_steps, validation is not None)
        net.train_split = None if validation is None else predefined_split(validation)
        net.iterator_train__generator = generator
        net.iterator_train__augment = augmentation(self.augment)
        net.iterator_train__device = net.device
        net.initialize_callbacks()
        try:
            with limited_threads(self.n_threads):
                net.partial_fit(training, epochs=epochs)
        finally:  # nothing of the training stays in what is pickled
            adopt_dropout(net.module_.eval(), None)
            net.callbacks = net.train_split = net.iterator_train__generator = None
            net.initialize_callbacks()
        self.n_iter_ = len(net.history)
        self.loss_curve_ = net.history[:, "train_loss"]
        state = net.module_.state_dict().values()
        if not all(torch.isfinite(values).all() for values in state):
            del self.net_
            loss = self.loss_curve_[-1]
            raise ValueError(f"The training diverged (last loss {loss:.3g}): lower lr={lr}.")

    def _renew_settings(self, n_samples: int) -> None:
        """Let a net that goes on follow parameters that were set since, or say that it cannot."""
        net = self.net_
        before, now = self._built_with, self._fixed_parameters()
        for name in before | now:
            if before.get(name) != now.get(name):
                was = before.get(name, "not there")
                raise ValueError(f"{name} was {was} when training began and cannot change.")
        net.batch_size = self._setting("batch_size", n_samples)
        net.verbose = self.verbose
        net.criterion_ = self._criterion().to(net.device)
        lr, decay = (self._setting(name, n_samples) for name in ("lr", "weight_decay"))
        set_rates(net.optimizer_, lr, decay)

    def _fixed_parameters(self) -> dict[str, str]:
        """Return, as text, the parameters that shape the network or the reading of X."""
        return {
            name: re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # a copy has other addresses
            for name, value in self.get_params(deep=True).items()
            if name.partition("__")[0] not in MAY_CHANGE
        }

    def _make_callbacks(self, schedule: str, lr: float, n_steps: int, validated: bool) -> list[Any]:
        callbacks = list(self.callbacks or [])
        if schedule != "constant":
            policy, params = make_schedule(schedule, self.net_.optimizer_, lr, n_steps)
            callbacks.append(
                ("schedule", LRScheduler(policy, step_every="batch", last_epoch=-1, **params))
            )
        if self.early_stopping and validated:
            stopping = EarlyStopping(
                patience=self.n_iter_no_change,
                load_best=True,
                sink=print if self.verbose else silent,
            )
            callbacks.append(("early_stopping", stopping))
        return callbacks

    def _check_weight(self, sample_weight: Any, X: Rows) -> NDArray[Any] | None:
        """Return weights, shape (n,), or None where there are none."""
        if sample_weight is None:
            return None
        return _check_sample_weight(
            sample_weight, X.index, dtype=np.float64, ensure_non_negative=True, copy=True
        )


def with_weight(
    X: Rows, y: NDArray[Any], weight: NDArray[Any] | None
) -> tuple[Rows, NDArray[Any], NDArray[Any] | None]:
    """Leave out samples of no weight."""
    if weight is None or weight.all():
        return X, y, weight
    kept = weight > 0
    return X.take(kept), y[kept], weight[kept]


def check_both_or_none(X_val: Any, y_val: Any) -> None:
    """Raise ValueError if only one of them is given."""
    if (X_val is None) != (y_val is None):
        given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
        raise ValueError(f"{given} was given without {missing}.")


def silent(message: str) -> None:
    """Print nothing."""
