"""Thresholds: functions that set small coefficients to zero, and the layer that applies them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklstruct.params import FLAG, check, integer, one_of, real

SHARE = 10  # of the coefficients of a sample one in so many is kept, unless k says otherwise


def hard(x: Tensor, tau: Tensor | float) -> Tensor:
    r"""Return x where :math:`|x| > \tau`, else 0.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_sparse.thresholds import hard
    >>> hard(torch.tensor([-3.0, -0.5, 0.5, 3.0]), 1.0)
    tensor([-3., -0.,  0.,  3.])
    """
    return x * (x.abs() > tau)


def soft(x: Tensor, tau: Tensor | float) -> Tensor:
    r"""Return :math:`\mathrm{sign}(x) \max(|x| - \tau, 0)`, the proximal map of the norm l1.

    References
    ----------
    D. L. Donoho. De-noising by soft-thresholding. IEEE Transactions on Information Theory, 1995.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_sparse.thresholds import soft
    >>> soft(torch.tensor([-3.0, -0.5, 0.5, 3.0]), 1.0)
    tensor([-2.,  0.,  0.,  2.])
    """
    limit = torch.as_tensor(tau, dtype=x.dtype, device=x.device)
    return x - torch.maximum(torch.minimum(x, limit), -limit)


def keep_k(x: Tensor, k: int) -> Tensor:
    r"""Return x where :math:`|x|` is among the k largest values of its sample, else 0.

    This is the best approximation of a sample with k terms, where the coefficients are those of
    an orthonormal basis.

    Parameters
    ----------
    x : Tensor, shape (n, ...)
    k : int
        At most the number of values of a sample.

    Raises
    ------
    ValueError
        If k is out of range.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_sparse.thresholds import keep_k
    >>> keep_k(torch.tensor([[-3.0, 2.0, 1.0], [0.5, 0.0, -0.1]]), k=2)
    tensor([[-3.0000,  2.0000,  0.0000],
            [ 0.5000,  0.0000, -0.1000]])
    """
    flat = x.flatten(1)
    if k > flat.shape[1]:
        raise ValueError(f"k must be at most {flat.shape[1]}, the number of coefficients, got {k}.")
    places = flat.abs().topk(k, dim=1, sorted=False).indices
    return torch.zeros_like(flat).scatter(1, places, flat.gather(1, places)).view_as(x)


def printed_hard(x: Tensor, tau: Tensor | float) -> Tensor:
    r"""Return the hard threshold as it is printed: x above :math:`\tau`, -x below :math:`-\tau`.

    The sign of negative coefficients is lost: this is ``hard(x).abs()``.

    References
    ----------
    J. Tanner. Theories of deep learning, C6.5, video 12. University of Oxford.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_sparse.thresholds import printed_hard
    >>> printed_hard(torch.tensor([-3.0, -0.5, 0.5, 3.0]), 1.0)
    tensor([3., 0., 0., 3.])
    """
    return hard(x, tau).abs()


def printed_soft(x: Tensor, tau: Tensor | float) -> Tensor:
    r"""Return the soft threshold as printed: :math:`x - \tau` above, :math:`-x + \tau` below.

    Negative coefficients lose their sign, and grow by :math:`\tau` in place of shrinking: from
    :math:`-\tau` down the function jumps from 0 to :math:`2 \tau`.

    References
    ----------
    J. Tanner. Theories of deep learning, C6.5, video 12. University of Oxford.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_sparse.thresholds import printed_soft
    >>> printed_soft(torch.tensor([-3.0, -0.5, 0.5, 3.0]), 1.0)
    tensor([4., 0., 0., 2.])
    """
    return (x > tau) * (x - tau) + (x < -tau) * (tau - x)


FUNCTIONS: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "soft": soft,
    "hard": hard,
    "printed-soft": printed_soft,
    "printed-hard": printed_hard,
}
RULES = {
    "threshold": one_of(*FUNCTIONS, "keep-k"),
    "tau": real(least=0) | None,
    "k": integer(1) | None,
    "learn_threshold": FLAG,
}


class Threshold(nn.Module):
    r"""Threshold of coefficients, each sub-band of each channel with one of its own.

    Parameters
    ----------
    n_channels : int
    sizes : sequence of int
        Number of coefficients of each sub-band.
    threshold : {"soft", "hard", "printed-soft", "printed-hard", "keep-k"}, default="soft"
        "keep-k" keeps the largest coefficients of each sample; the formulas that are printed in
        the reference lose signs, see ``printed_hard`` and ``printed_soft``.
    tau : float or array-like, shape (n_channels, n_bands), default=1.0
        The threshold of all sub-bands, or of each; what is larger is kept.
    k : int, default=None
        Number of coefficients to keep, of all channels together; None is a tenth of them.
    learn_threshold : bool, default=False
        Whether a factor on the threshold of each sub-band is learned: the softplus of a weight,
        which starts at 1.

    Raises
    ------
    ValueError
        If a parameter is none of the above, k exceeds the number of coefficients, or a threshold
        shall be learned that has no gradient.

    See Also
    --------
    SparseFrameClassifier : Where it is used.

    References
    ----------
    J. Tanner. Theories of deep learning, C6.5, video 12. University of Oxford.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_sparse.thresholds import Threshold
    >>> layer = Threshold(1, sizes=(2, 3), tau=[[1.0, 2.0]])
    >>> layer(torch.tensor([[[-3.0, 0.5, 2.0, -1.0, 4.0]]]))
    tensor([[[-2.,  0.,  0.,  0.,  2.]]])
    """

    band: Tensor
    tau: Tensor

    def __init__(
        self,
        n_channels: int,
        sizes: Sequence[int],
        threshold: str = "soft",
        tau: Any = 1.0,
        k: int | None = None,
        learn_threshold: bool = False,
    ) -> None:
        super().__init__()
        for name, value in {
            "threshold": threshold,
            "k": k,
            "learn_threshold": learn_threshold,
        }.items():
            check(name, value, RULES[name])
        if learn_threshold and not threshold.endswith("soft"):
            raise ValueError(
                f"learn_threshold=True needs the threshold 'soft' or 'printed-soft', got "
                f"{threshold!r}: where it lies changes what the others keep in jumps only."
            )
        n_coefficients = n_channels * sum(sizes)
        if k is not None and k > n_coefficients:
            raise ValueError(f"k must be at most {n_coefficients}, the coefficients, got {k}.")
        self.threshold = threshold
        self.k = max(1, n_coefficients // SHARE) if k is None else int(k)
        shape, default = (n_channels, len(sizes)), torch.get_default_dtype()
        band = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        self.register_buffer("band", band, persistent=False)
        self.register_buffer("tau", torch.as_tensor(tau, dtype=default).expand(shape).clone())
        self.weight = None
        if learn_threshold:
            self.weight = nn.Parameter(torch.ones(shape).expm1().log())  # softplus makes it 1

    def forward(self, x: Tensor) -> Tensor:
        """Map coefficients (n, n_channels, n_coefficients) to sparse ones of the same shape."""
        if self.threshold == "keep-k":
            return keep_k(x, self.k)
        return FUNCTIONS[self.threshold](x, self.thresholds[:, self.band])

    @property
    def thresholds(self) -> Tensor:
        """The threshold of each sub-band, shape (n_channels, n_bands)."""
        return self.tau if self.weight is None else F.softplus(self.weight) * self.tau
