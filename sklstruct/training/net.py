"""The one place where skorch is spoken to: its net, its callbacks, and how they end a training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import torch
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import EarlyStopping, LRScheduler
from skorch.helper import predefined_split
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from ..layers import Dropout, adopt_dropout
from .batches import Augmentation, Batch, Batches, TrainingData
from .device import limited_threads
from .objectives import main_output
from .plan import Plan, make_optimizer, make_schedule, set_rates

SETTLED_AT_ONCE = 64  # samples: enough for statistics, and few enough for memory


class TrainingEnded(Exception):
    """Raised where a callback ends a training before its time."""


class Interrupts:
    """Tell Ctrl-C from a callback that ends a training, where both raise KeyboardInterrupt.

    Only a signal goes through the handler of signals, so while a training runs that handler is
    watched.  Signals come to the main thread alone: in another one there is nothing to tell.
    """

    came = False

    def __enter__(self) -> Interrupts:
        self.handler: Any = None
        if threading.current_thread() is threading.main_thread():
            self.handler = signal.getsignal(signal.SIGINT)
        if callable(self.handler):  # else nothing is raised
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if callable(self.handler):
            signal.signal(signal.SIGINT, self.handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        self.handler(number, frame)


class Net(NeuralNet):
    """A skorch net whose loss is an objective of the network, weighted by sample.

    Its criterion is the objective; its optimiser follows a plan.
    """

    def partial_fit(self, X: Any, y: Any = None, epochs: int = 1) -> Net:
        """Train for some epochs, or until a callback ends it."""
        # skorch takes every KeyboardInterrupt for such an end, and would pass off half a training
        # as a whole one after Ctrl-C.
        with Interrupts() as self.interrupts:
            self.notify("on_train_begin", X=X, y=y)
            with suppress(TrainingEnded):
                self.fit_loop(X, y, epochs=epochs)
            self.notify("on_train_end", X=X, y=y)
        return self

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call a method of every callback."""
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as end:
            if self.interrupts.came or method_name == "on_train_end":
                raise
            raise TrainingEnded from end

    def train_step_single(self, batch: Batch, **_: Any) -> dict[str, Tensor]:
        """Return loss and outputs of a batch, after the gradients of the loss are there."""
        self.module_.train()
        step = self._step(batch)
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
        hook = self.module_.register_forward_hook(
            lambda module, args, outputs: seen.append(main_output(outputs))
        )
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

    def initialize_criterion(self) -> Net:
        """Take the objective as it is; skorch would call what is no module."""
        self.criterion_ = self.criterion
        return self

    def get_params_for_optimizer(self, prefix: str, named_parameters: Any) -> Any:
        """Return the arguments of an optimiser: parameters with their names, and the rest."""
        named = list(named_parameters)
        _, keywords = super().get_params_for_optimizer(prefix, named)
        return (named,), keywords

    def __getstate__(self) -> dict[str, Any]:
        state = {**super().__getstate__(), "module": None}  # it is module_, once is enough
        state.pop("interrupts", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.module = self.module_


class ClassifierNet(Net, NeuralNetClassifier):
    """A net whose outputs are logits of classes, which callbacks may score as such."""


def make_net(
    network: nn.Module,
    plan: Plan,
    objective: Callable[[nn.Module, Tensor, Any], Tensor],
    *,
    n_classes: int | None,
    device: str,
    verbose: int,
) -> Net:
    """Return the net that trains a network, ready to start.

    Parameters
    ----------
    network : nn.Module
    plan : Plan
    objective : callable
        Maps (network, x, y) to the loss of each sample.
    n_classes : int or None
        Number of classes, where outputs are logits.
    device : str
    verbose : int
        1 prints a line an epoch.
    """
    classes: dict[str, Any] = {}
    if n_classes is not None:
        classes = {"classes": range(n_classes), "predict_nonlinearity": softmax}
    return (ClassifierNet if classes else Net)(
        network,
        criterion=objective,
        optimizer=make_optimizer,
        optimizer__plan=plan,
        lr=plan.lr,
        batch_size=plan.batch_size,
        iterator_train=Batches,
        iterator_valid=Batches,
        train_split=None,
        device=device,
        verbose=verbose,
        **classes,
    ).initialize()


def softmax(logits: Tensor) -> Tensor:
    """Return the probabilities of the classes."""
    return logits.softmax(1)


def train(
    net: Net,
    plan: Plan,
    training: TrainingData,
    validation: TrainingData | None,
    *,
    generator: torch.Generator,
    augment: Augmentation | None,
    callbacks: Sequence[Any],
    n_threads: int | None,
) -> None:
    """Let a net run over the training samples as a plan says.

    Parameters
    ----------
    net : Net
    plan : Plan
    training, validation : Samples or MapSamples
    generator : torch.Generator
        Drives order, dropout and augmentation.
    augment : callable or None
        Maps (batch, generator) to a batch.
    callbacks : list of skorch callbacks
    n_threads : int or None
        Threads of torch; None leaves it alone.
    """
    network = net.module_
    net.batch_size = plan.batch_size
    set_rates(net.optimizer_, plan)
    n_steps = plan.max_epochs * -(-len(training) // min(plan.batch_size, len(training)))
    net.callbacks = [*callbacks]
    if plan.schedule != "constant":
        policy, params = make_schedule(plan.schedule, net.optimizer_, n_steps)
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
    adopt_dropout(network, generator)
    try:
        with limited_threads(n_threads):
            net.initialize_callbacks()
            net.partial_fit(training, epochs=plan.max_epochs)
            if plan.settle_norms:
                settle_norms(network, Batches(training, SETTLED_AT_ONCE, device=net.device))
    finally:  # nothing of the training stays in what is pickled
        adopt_dropout(network.eval(), None)
        net.callbacks = net.train_split = net.iterator_train__generator = None
        net.iterator_train__augment = None
        net.initialize_callbacks()


def settle_norms(network: nn.Module, batches: Batches) -> None:
    """Replace the running statistics of batch norms by those of the network as it is now."""
    # update_bn trains, and dropout would spread what enters the norms
    dropouts = [(layer, layer.p) for layer in network.modules() if isinstance(layer, Dropout)]
    for layer, _ in dropouts:
        layer.p = 0.0
    try:
        update_bn(batches, network)
    finally:
        for layer, p in dropouts:
            layer.p = p
