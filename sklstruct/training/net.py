"""The one place where skorch is spoken to: its net, its callbacks, and how they end a training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from types import FrameType
from typing import Any

import torch
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from skorch.helper import predefined_split
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..layers import Dropout, adopt_dropout
from .batches import Batch, Batches, MapSamples, Samples
from .device import kept_memory, limited_threads
from .objectives import main_output
from .plan import OPTIMIZERS, SCHEDULES, Plan

SETTLED_AT_ONCE = 64  # samples: enough for statistics, and few enough for memory


class TrainingEnded(Exception):
    """Raised where a callback ends a training before its time."""


@contextmanager
def watched_interrupts() -> Iterator[list[int]]:
    """Yield a list that is empty until Ctrl-C comes.

    Callbacks of skorch end a training by raising KeyboardInterrupt, as Ctrl-C does.  But only a
    signal goes through the handler of signals, which is watched here.  Signals come to the main
    thread alone: in another one there is nothing to tell apart.
    """
    came: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    handler: Any = signal.getsignal(signal.SIGINT) if main else None

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        handler(number, frame)

    if callable(handler):  # else nothing is raised
        signal.signal(signal.SIGINT, note)
    try:
        yield came
    finally:
        if callable(handler):
            signal.signal(signal.SIGINT, handler)


class Net(NeuralNet):
    """A skorch net whose loss is an objective of the network, weighted by sample.

    Its criterion is the objective; its optimiser follows a plan; ``n_outputs`` is what the network
    must give.
    """

    n_outputs: int
    settled: Sequence[nn.Module] = ()  # layers that work as in evaluation while others learn

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call a method of every callback; one that raises KeyboardInterrupt ends the training."""
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as end:
            if getattr(self, "interrupts", True):  # Ctrl-C, which must not pass for an end
                raise
            raise TrainingEnded from end

    def train_step_single(self, batch: Batch, **_: Any) -> dict[str, Tensor]:
        """Return loss and outputs of a batch, after the gradients of the loss are there."""
        self.module_.train()  # a callback may have predicted in between
        for layer in self.settled:
            layer.training = False
        step = self._step(batch)
        if not step["loss"].requires_grad:
            raise ValueError("The loss depends on none of the layers that learn: see train_layers.")
        step["loss"].backward()
        return step

    def validation_step(self, batch: Batch, **_: Any) -> dict[str, Tensor]:
        """Return loss and outputs of a batch."""
        self.module_.eval()
        with torch.no_grad():
            return self._step(batch)

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean of weight times loss; weights have mean one over all samples."""
        x, y = batch
        # An objective gives losses only, and callbacks want to see what the network said.
        seen: list[Tensor] = []

        def see(module: nn.Module, args: Any, outputs: Any) -> None:
            seen.append(main_output(outputs))
            self._check_outputs(seen[-1], len(args[0]) if args else len(x), y)

        hook = self.module_.register_forward_hook(see)
        try:
            losses = self.criterion_(self.module_, x, y)
        finally:
            hook.remove()
        if losses.shape != batch.weight.shape:
            raise ValueError(
                f"The objective must return the loss of each sample, shape ({len(x)},), got shape "
                f"{tuple(losses.shape)}."
            )
        return {"loss": (losses * batch.weight).mean(), "y_pred": seen[-1] if seen else losses}

    def _check_outputs(self, outputs: Any, n_samples: int, y: Any) -> None:
        """Raise unless a network gives what was asked for, before a loss fails or broadcasts."""
        shape = tuple(getattr(outputs, "shape", ()))
        wanted = (n_samples, self.n_outputs)
        # What is learned of every place comes with the weights of places.
        if (shape[:2] if isinstance(y, (tuple, list)) else shape) != wanted:
            got = f"outputs of shape {shape}" if shape else f"{type(outputs).__name__}"
            raise ValueError(
                f"The network must have {self.n_outputs} outputs for each of {n_samples} samples, "
                f"got {got}."
            )

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> Net:
        """Set the optimiser, with the parameters sorted into the groups of the plan."""
        # Their names decide, which skorch would not hand over.
        plan: Plan = self.optimizer
        groups: dict[tuple[int, bool], dict[str, Any]] = {}
        for name, parameter in self.module_.named_parameters():
            if parameter.requires_grad:
                matching = (k for k, one in enumerate(plan.groups) if fnmatchcase(name, one[0]))
                group, decays = next(matching, -1), parameter.ndim > 1
                key = group, not decays  # weights come before biases
                groups.setdefault(key, {"params": [], "decays": decays, "group": group})
                groups[key]["params"].append(parameter)
        make, defaults = OPTIMIZERS[plan.optimizer]
        self.optimizer_ = make([groups[key] for key in sorted(groups)], lr=plan.lr, **defaults)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "module": None}  # it is module_, once is enough

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.module = self.module_


class ClassifierNet(Net, NeuralNetClassifier):
    """A net whose outputs are logits of classes, which callbacks may score as such."""


class EpochTasks(Callback):
    """What passes the epochs of a training on to scikit-learn's callbacks.

    Parameters
    ----------
    context : CallbackContext
        Of the fit; each epoch is a task below it.
    told : dict
        The estimator, and X and y as ``fit`` was given them.
    """

    def __init__(self, context: Any, told: dict[str, Any]) -> None:
        self.context, self.told = context, told

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Open a task."""
        self.epoch = self.context.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(**self.told)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Close the task, and end the training if a callback says so."""
        # The copy of an estimator that scikit-learn makes is fitted as far as this one is.
        if self.epoch.call_on_fit_task_end(**self.told, reconstruction_attributes={}):
            raise KeyboardInterrupt


def is_callback(callback: Any) -> bool:
    """Return whether a callback, or a pair of a name and one, is what skorch takes."""
    callback = callback[1] if isinstance(callback, tuple) and len(callback) == 2 else callback
    return hasattr(callback, "on_train_begin")


def make_net(
    network: nn.Module, plan: Plan, *, n_outputs: int, classifies: bool, device: str
) -> Net:
    """Return the net that trains a network, ready to start.

    Parameters
    ----------
    network : nn.Module
    plan : Plan
    n_outputs : int
        Number of outputs of a sample, or of a place.
    classifies : bool
        Whether outputs are logits of classes, one a sample.
    device : str
    """
    classes: dict[str, Any] = {}
    if classifies:
        classes = {"classes": range(n_outputs), "predict_nonlinearity": softmax}
    net = (ClassifierNet if classes else Net)(
        network,
        criterion=nn.Module,  # each training has an objective of its own
        optimizer=plan,
        lr=plan.lr,
        iterator_train=Batches,
        iterator_valid=Batches,
        train_split=None,
        device=device,
        verbose=0,
        **classes,
    ).initialize()
    net.n_outputs = n_outputs
    return net


def softmax(logits: Tensor) -> Tensor:
    """Return the probabilities of the classes."""
    return logits.softmax(1)


def train(
    net: Net,
    plan: Plan,
    objective: Callable[[nn.Module, Tensor, Any], Tensor],
    training: Samples | MapSamples,
    validation: Samples | MapSamples | None,
    *,
    generator: torch.Generator,
    augment: Any,
    callbacks: Sequence[Any],
    n_threads: int | None,
    verbose: int,
) -> None:
    """Let a net run over the training samples as a plan says.

    Parameters
    ----------
    net : Net
    plan : Plan
    objective : callable
        Maps (network, x, y) to the loss of each sample.
    training, validation : Samples or MapSamples
    generator : torch.Generator
        Drives order, dropout and augmentation.
    augment : callable or None
        See ``Augment``.
    callbacks : list of skorch callbacks
    n_threads : int or None
        Threads of torch; None leaves it alone.
    verbose : int
        1 prints a line an epoch.
    """
    network = net.module_
    net.criterion_, net.verbose = objective, verbose
    # A warm start may have other rates than the fit before, but keeps its optimiser.
    for part in net.optimizer_.param_groups:
        own = plan.groups[part["group"]][1] if part["group"] >= 0 else {}
        part["lr"] = own.get("lr", plan.lr)
        part["weight_decay"] = own.get("weight_decay", plan.weight_decay) if part["decays"] else 0.0
        for name in ("betas", "momentum"):  # the cycle of an earlier training has moved these
            if name in part:
                part[name] = net.optimizer_.defaults[name]
    # torch takes Python's integers only, and a grid may hold those of NumPy.
    epochs, batch_size = int(plan.max_epochs), int(plan.batch_size)
    net.batch_size = batch_size
    n_steps = epochs * -(-len(training) // min(batch_size, len(training)))
    net.callbacks = [*callbacks]
    if (schedule := SCHEDULES[plan.schedule]) is not None:
        policy, params = schedule(net.optimizer_, n_steps)
        step = LRScheduler(policy, step_every="batch", last_epoch=-1, **params)
        net.callbacks.append(("schedule", step))
    if plan.patience is not None and validation is not None:
        sink = print if net.verbose else lambda message: None
        stopping = EarlyStopping(patience=plan.patience, load_best=True, sink=sink)
        net.callbacks.append(("early_stopping", stopping))
    net.train_split = None if validation is None else predefined_split(validation)
    net.iterator_train__generator = generator
    net.iterator_train__augment = augment
    net.iterator_train__device = net.iterator_valid__device = net.device
    net.settled = freeze(net, plan.frozen)
    adopt_dropout(network, generator)
    try:
        with limited_threads(n_threads), kept_memory():
            net.initialize_callbacks()
            with watched_interrupts() as net.interrupts:
                net.notify("on_train_begin", X=training, y=None)
                with suppress(TrainingEnded):
                    net.fit_loop(training, None, epochs=epochs)
                net.notify("on_train_end", X=training, y=None)
            if plan.settle_norms:
                settle_norms(net, Batches(training, SETTLED_AT_ONCE, device=net.device))
    finally:  # nothing of the training stays in what is pickled
        net.__dict__.pop("interrupts", None)
        freeze(net, ())  # of a warm start, other layers may learn
        adopt_dropout(network.eval(), None)
        net.callbacks = net.train_split = net.iterator_train__generator = None
        net.iterator_train__augment, net.settled = None, ()
        net.initialize_callbacks()
        for epoch in net.history[:-1]:  # or a pickle would grow with every batch there ever was
            epoch.pop("batches", None)


def freeze(net: Net, frozen: Sequence[str]) -> list[nn.Module]:
    """Let all parameters learn but some, and return the layers of these."""
    names = set(frozen)
    # Those that the optimiser does not have are fixed by the architecture.
    learn = {id(p) for group in net.optimizer_.param_groups for p in group["params"]}
    for name, parameter in net.module_.named_parameters():
        if id(parameter) in learn:
            parameter.requires_grad_(name not in names)
    settled = []
    for path, layer in net.module_.named_modules():
        kept = *layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)
        if any(f"{path}.{name}".removeprefix(".") in names for name, _ in kept):
            settled.append(layer)
    return settled


def settle_norms(net: Net, batches: Batches) -> None:
    """Replace the running statistics of batch norms by those of the network as it is now."""
    network = net.module_.train()
    for layer in net.settled:
        layer.training = False
    norms = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
    moments = {norm: norm.momentum for norm in norms if norm.training}
    # Dropout would spread what enters the norms.
    dropouts = {layer: layer.p for layer in network.modules() if isinstance(layer, Dropout)}
    for layer in dropouts:
        layer.p = 0.0
    for norm in moments:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    try:
        with torch.no_grad():
            for x, _ in batches if moments else ():
                network(x)
    finally:
        for norm, momentum in moments.items():
            norm.momentum = momentum
        for layer, p in dropouts.items():
            layer.p = p
