"""Convolution of complex maps that turn with the image."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin, sqrt
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sklstruct.frames import Frame
from sklstruct.layers import CONV, Weights, convolve


class HarmonicConv(nn.Module):
    r"""Convolution of maps of some rotation orders to maps of others.

    .. math::
        y_b = \sum_a \sum_q w_{abq} \, e^{i \beta_{ab}} \, \psi_{b - a, q} \star x_a

    with the atoms :math:`\psi_{mq} = R_{mq}(r) \, e^{i m \varphi}` of a frame of harmonics.  Where
    x turns by an angle :math:`\theta` with its order, :math:`x_a \to e^{i a \theta} x_a`, so does
    y: the phase by :math:`b \theta`.  Learned are the radial profiles w and the phases
    :math:`\beta`, one for each pair of channels.

    Parameters
    ----------
    n_in, n_out : int
        Complex channels of each order.
    frame : Frame
        In 2D, of circular or solid harmonics.
    in_orders, out_orders : sequence of int
        Rotation orders of x and of y.
    real : bool, default=False
        Whether x is real: an image, whose order is 0.

    Raises
    ------
    ValueError
        If the frame does not consist of harmonics, or lacks an order :math:`|b - a|`.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.frames import CircularHarmonics
    >>> from sklstruct_hnet.convolution import HarmonicConv
    >>> frame = CircularHarmonics().build(ndim=2)
    >>> layer = HarmonicConv(1, 8, frame, in_orders=(0,), out_orders=(0, 1), real=True)
    >>> layer(torch.zeros(5, 1, 28, 28)).shape  # real and imaginary parts of two orders
    torch.Size([5, 32, 28, 28])
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        frame: Frame,
        *,
        in_orders: Sequence[int],
        out_orders: Sequence[int],
        real: bool = False,
    ) -> None:
        super().__init__()
        check_harmonics(frame)
        self.n_in, self.n_out, self.real = n_in, n_out, real
        self.frame, self.padding = frame, tuple(extent // 2 for extent in frame.support)
        self.shifts = [[b - a for a in in_orders] for b in out_orders]
        self.weights, self.phases = nn.ParameterList(), nn.ParameterList()
        for order in (abs(shift) for row in self.shifts for shift in row):
            n_rings = int((frame.orders == order).sum()) // (2 if order else 1)
            if n_rings == 0:
                raise ValueError(
                    f"frame must have atoms of order {order}, the difference of two rotation "
                    f"orders, but {frame!r} has those of {sorted(set(frame.orders.tolist()))} only."
                )
            self.weights.append(torch.empty(n_out, n_in, n_rings))
            # Flat, as what has one axis is not decayed: a phase is not better for being small.
            self.phases.append(torch.empty(n_out * n_in))
        for name, wave in self._waves().items():
            rounded = torch.tensor(wave, dtype=torch.get_default_dtype())
            self.register_buffer(name, rounded, persistent=False)
        self.reset_parameters()

    def _waves(self) -> dict[str, NDArray[np.float64]]:
        """Return for each order the atoms as rows, cosines before sines, each pair of norm 1."""
        waves = {}
        for order in {abs(shift) for row in self.shifts for shift in row}:
            rows = self.frame.flat[self.frame.orders == order]
            cosines, sines = (rows[::2], rows[1::2]) if order else (rows, np.zeros_like(rows))
            norms = np.sqrt((cosines**2 + sines**2).sum(axis=1, keepdims=True))
            waves[f"wave{order}"] = np.concatenate([cosines / norms, sines / norms])
        return waves

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        super()._apply(*args, **kwargs)
        for name, wave in self._waves().items():  # exact again, whatever they were cast to
            setattr(self, name, torch.tensor(wave).to(self.weights[0]))
        return self

    def reset_parameters(self) -> None:
        """Draw phases, and profiles that keep the variance of the signal (He's rule)."""
        for weight, phase in zip(self.weights, self.phases, strict=True):
            fan_in = self.n_in * len(self.shifts[0]) * weight.shape[-1]
            nn.init.normal_(weight, std=sqrt(2 / fan_in))
            nn.init.uniform_(phase, -pi, pi)

    @property
    def kernel(self) -> Tensor:
        """The real kernel from all parts to all, (out_channels, in_channels, *support)."""
        parameters = iter(zip(self.weights, self.phases, strict=True))
        rows = []
        for shifts in self.shifts:
            row: list[Tensor] = []
            for shift in shifts:
                weight, phase = next(parameters)
                angle = phase.view(self.n_out, self.n_in, 1)
                real, imag = weight * angle.cos(), weight * angle.sin()
                # (real + i imag) (cos + i sin), where a negative order turns the other way
                turned = (real, imag) if shift >= 0 else (-real, -imag)
                parts = torch.cat([real, -turned[1]], 2), torch.cat([imag, turned[0]], 2)
                real, imag = torch.stack(parts) @ getattr(self, f"wave{abs(shift)}")
                of_real, of_imag = torch.cat([real, imag]), torch.cat([-imag, real])
                row += [of_real] if self.real else [of_real, of_imag]
            rows.append(torch.cat(row, 1))
        return torch.cat(rows).unflatten(2, self.frame.support)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, *spatial) to (n, out_channels, *spatial).

        Channels are those of one order after another, and of an order real before imaginary
        parts.
        """
        return convolve(x, self.kernel, None, stride=1, padding=self.padding)

    def to_dense(self) -> nn.Module:
        """Return a plain ``nn.Conv2d`` with the same output."""
        kernel = self.kernel.detach()
        options: dict[str, Any] = {"padding": self.padding, "bias": False}
        make: Any = CONV[2]
        conv = make(*kernel.shape[1::-1], self.frame.support, **options)
        conv = conv.to(kernel)  # before the weights, lest they lose digits
        conv.load_state_dict({"weight": kernel})
        return conv.train(self.training)

    def weights_by_structure(
        self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
    ) -> Weights:
        """Return how many weights there would be without frame, sharing and locality."""
        free = sum(parameter.numel() for parameter in self.parameters())
        options: dict[str, Any] = {"padding": self.padding, "frame": free}
        return Weights.of_kernels(in_shape, out_shape, self.frame.support, **options)

    def extra_repr(self) -> str:
        """Return what ``print`` shows between the parentheses."""
        return f"{self.n_in}, {self.n_out}, {self.frame!r}, shifts={self.shifts}"


def check_harmonics(frame: Frame) -> None:
    """Raise ValueError unless rotations turn pairs of atoms by multiples of their angle."""
    turn = {m: [[cos(m), sin(m)], [-sin(m), cos(m)]] for m in {1, *frame.orders.tolist()}}
    expected, atom = np.zeros((len(frame),) * 2), 0
    while atom < len(frame):
        pair = slice(atom, atom + (2 if frame.orders[atom] else 1))
        n = len(expected[pair])
        expected[pair, pair] = np.array(turn[frame.orders[atom]])[:n, :n]
        atom = pair.stop
    try:
        seen = frame.steering(turn[1]).matrix  # by one radian
    except ValueError:  # there is nothing between the points of its grid
        seen = np.full_like(expected, np.nan)
    if not np.allclose(seen, expected, rtol=0, atol=1e-6):
        raise ValueError(
            "frame must consist of harmonics, as CircularHarmonics and SolidHarmonics do, got "
            f"{frame!r}, which turns in another way."
        )
