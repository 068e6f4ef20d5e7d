"""Callbacks of scikit-learn, told of every epoch."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback


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
