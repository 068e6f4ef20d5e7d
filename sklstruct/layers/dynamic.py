"""Dynamic steerable blocks: convolutions whose kernels are steered by what they see."""

from __future__ import annotations

import copy
from itertools import pairwise
from math import atanh, expm1, log, pi
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..frames import Frame
from ..params import FLAG, ODD, check, integer, one_of
from .dimensions import CONV, convolve
from .frame_conv import FrameConv, filter_bank, read_frame
from .kept import KeptTensors
from .steered import SteeredFilter
from .steering import PLANES, Mixture, Steer, Turn
from .structure import Weights

UNTURNED = atanh(0.9)  # what cosines start from where the network gives their values
FLATTEST = 0.01  # deviation of the last weights of a pose network: a block starts nearly unturned
OPTIONS = {
    "pose": one_of("learned", "max", "fixed"),
    "steering": one_of("exact", "free", "filters"),
    "poses": one_of("shared", "input", "output", "pair"),
    "scale": FLAG,
    "units": integer(1),
    "depth": integer(2),
    "context": ODD,
}


class DynamicSteerableBlock(nn.Module):
    r"""Frame convolution whose kernels are turned and dilated at every place by what it sees.

    .. math::
        y_o(p) = \sum_i \sum_k c_{oik} \, \bigl( S(F(\Phi x)(p)) \, \Phi x_i(p) \bigr)_k, \qquad
        (\Phi x_i)_k = \psi_k \star x_i

    The weights c are a canonical feature.  The pose network F looks at the responses of the frame
    around a place and gives angles, and perhaps a scale, by which S steers the responses; see
    ``Steer``.

    Parameters
    ----------
    in_channels, out_channels : int
    frame : str, frame family or Frame, default="gaussian"
        One that all rotations steer; with ``scale``, of several scales.
    ndim, stride, bias
        As for ``FrameConv``; padding is half the support.
    pose : {"learned", "max", "fixed"}, default="learned"
        Where poses come from.  "max" is the orientation in which the first-order atoms respond
        most: that of the gradient, for several channels of the largest sum of squares.  "fixed"
        turns nothing: it is ``FrameConv``, the static twin.
    steering : {"exact", "free", "filters"}, default="exact"
        "free" leaves the steering functions out: the network gives their values and no angle.
        With "filters" it gives coefficients of the atoms, a filter of its own at every place, and
        the weights mix channels only: a dynamic filter network.
    poses : {"shared", "input", "output", "pair"}, default="shared"
        Whether a place has one pose, one for each input channel, one for each output channel, or
        one for each pair of them.  There are no largest responses for output channels or pairs.
    scale : bool, default=False
        Whether a pose has a scale too: a standard deviation that is added to the smallest one of
        the frame, and ends at its largest one.
    units : int, default=8
        Channels of the layers of the pose network.
    depth : int, default=3
        Layers of the pose network: a frame convolution, then convolutions with small kernels, all
        followed by tanh.  Each of these lets it see farther.
    context : int, default=3
        Extent of these kernels, odd.

    Raises
    ------
    ValueError
        If rotations do not steer the frame, or a parameter is none of the above.

    References
    ----------
    J.-H. Jacobsen, B. de Brabandere and A. W. M. Smeulders. Dynamic steerable blocks in deep
    residual networks. BMVC, 2017 (section 4.3.1, eq. 28 and 29 of the first author's thesis).

    B. de Brabandere, X. Jia, T. Tuytelaars and L. Van Gool. Dynamic filter networks. NeurIPS, 2016.

    See Also
    --------
    Steer : What turns the responses.
    FrameConv : The same kernel everywhere.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import DynamicSteerableBlock
    >>> block = DynamicSteerableBlock(3, 8)
    >>> x = torch.zeros(2, 3, 28, 28)
    >>> y, pose = block(x, return_pose=True)
    >>> y.shape, pose.shape  # an angle at every place
    (torch.Size([2, 8, 28, 28]), torch.Size([2, 1, 1, 28, 28]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        frame: Any = "gaussian",
        *,
        ndim: int | None = None,
        stride: int = 1,
        bias: bool = True,
        pose: str = "learned",
        steering: str = "exact",
        poses: str = "shared",
        scale: bool = False,
        units: int = 8,
        depth: int = 3,
        context: int = 3,
    ) -> None:
        super().__init__()
        frame = read_frame(frame, ndim)
        given = {"pose": pose, "steering": steering, "poses": poses, "scale": scale}
        given |= {"units": units, "depth": depth, "context": context}
        for name, value in given.items():
            check(name, value, OPTIONS[name])
        refused = {
            "pose='max' is there for images, steering='exact' and scale=False": pose == "max"
            and (frame.ndim != 2 or steering != "exact" or scale),
            "pose='max' is there for poses='shared' and 'input'": pose == "max"
            and poses in ("output", "pair"),
            "scale=True is there for steering='exact'": scale and steering != "exact",
            "steering='free' is there for images": steering == "free" and frame.ndim != 2,
            "poses='output' and 'pair' are there for signals and images": frame.ndim == 3
            and poses in ("output", "pair"),
        }
        for message, wrong in refused.items():
            if wrong:
                raise ValueError(f"{message}, got {frame!r} and {given}.")
        self.frame, self.mode, self.steering, self.poses = frame, pose, steering, poses
        self.kept = KeptTensors()
        self.steer: Any = None
        if steering != "filters" and (pose != "fixed" or scale):
            self.steer = Steer(frame, scale=scale)
        canonical = frame if self.steer is None else self.steer.canonical
        if steering == "filters" and pose != "fixed":
            canonical = Frame("filter", np.ones((1,) * (1 + frame.ndim)))
        # First, so that equal seeds give the weights of a FrameConv.
        self.conv = FrameConv(in_channels, out_channels, canonical, stride=stride, bias=bias)
        self.where: Any = None  # where poses come from
        if pose == "fixed":
            return
        self.mixtures = [one.mixture for one in self.steer.stages] if self.steer else []
        if self.steer is None:
            number = np.arange(len(frame))
            self.mixtures = [Mixture(0 * number, number, number, 1 / frame.norms)]
        padding = tuple((extent - 1) // 2 for extent in frame.support)
        bank = filter_bank(frame, stride, padding)
        self.filter = SteeredFilter(frame, self.mixtures[0], bank, stride, padding)
        counts = {"shared": 1, "input": in_channels, "output": out_channels}
        self.n_poses = counts.get(poses, in_channels * out_channels)
        if pose == "max":
            self.where = Orientation(self.filter, by_channel=poses in ("input", "pair"))
        else:
            self.where = PoseNetwork(self, units, depth, context)

    @property
    def n_numbers(self) -> int:
        """Numbers of a pose."""
        if self.steering == "exact" or self.mode == "fixed":
            return len(PLANES[self.frame.ndim]) + (self.steer is not None and self.steer.scale)
        return self.mixtures[0].n_numbers

    def forward(self, x: Tensor, return_pose: bool = False) -> Any:
        r"""Map (n, in_channels, \*spatial) to (n, out_channels, \*spatial_out).

        Parameters
        ----------
        x : Tensor
        return_pose : bool, default=False
            Whether to return the poses too, see ``pose``.
        """
        if self.where is None and not return_pose:
            return self.conv(x)
        pose = self.pose(x)
        y = self.steered(x, pose)
        return (y, pose) if return_pose else y

    def pose(self, x: Tensor) -> Tensor:
        r"""Return the poses, (n, n_numbers, n_poses, \*spatial_out).

        Their numbers are those of ``Steer``: angles in radians, then perhaps a standard deviation.
        Without steering functions they are the coefficients that the network gives.
        """
        if self.where is not None:
            return self.where(x)
        extents = self.conv.out_extents(tuple(x.shape[2:]))
        pose = x.new_zeros(len(x), self.n_numbers, 1, *extents)
        if self.steer is not None:
            pose[:, -1] = self.steer.canonical.scales[0]
        return pose

    def steered(self, x: Tensor, pose: Tensor) -> Tensor:
        """Return the outputs for given poses, one for all, or one for each of ``n_poses``."""
        if self.where is None:
            return self.conv(x)
        steer = self.steer if self.steering == "exact" else None
        if len(self.mixtures) > 1:  # turns about one axis after another
            steered = self.steer(self.filter.responses(x), pose)
            y = torch.einsum("nck...,ock->no...", steered, self.conv.coefficients)
        else:
            table = pose if steer is None else steer.tables(pose)[0]
            if self.poses in ("shared", "input") or table.shape[2] == 1:
                y = self.filter(x, table, self._mixing())
            else:
                y = self._by_output(x, table)
        if self.conv.bias is None:
            return y
        return y + self.conv.bias.view(-1, *(1,) * self.frame.ndim)

    def _mixing(self) -> Tensor:
        """Return the coefficients of the sums of the mixture, (out, in, n_rows)."""
        if self.steer is None:
            return self.conv.coefficients
        inverse = self.kept.like(self.conv.weight, "inverse", lambda: self.steer.inverse)
        return self.conv.coefficients @ inverse

    def _by_output(self, x: Tensor, table: Tensor) -> Tensor:
        """Convolve with the kernel of each number of a pose, and sum these outputs by the table."""
        matrices = self.kept.like(x, "matrices", self.mixtures[0].matrices)
        spread = torch.einsum("ocr,trm->tocm", self._mixing(), matrices)
        atoms = self.kept.like(spread, "atoms", lambda: self.frame.atoms)
        kernels = torch.tensordot(spread, atoms, dims=1)
        n_out, n_in = kernels.shape[1:3]
        where: Any = {"stride": self.filter.stride, "padding": self.filter.padding}
        if self.poses == "output":
            y = convolve(x, kernels.flatten(0, 1), None, **where)
            return (table * y.unflatten(1, (-1, n_out))).sum(1)
        total = x.new_zeros(())
        for one in range(n_in):
            single = x[:, one : one + 1], kernels[:, :, one : one + 1].flatten(0, 1)
            y = convolve(*single, None, **where)
            total = total + (table[:, :, one::n_in] * y.unflatten(1, (-1, n_out))).sum(1)
        return total

    def kernels(self, pose: Tensor) -> Tensor:
        r"""Return the kernels of some poses.

        Parameters
        ----------
        pose : Tensor, shape (n, n_numbers)

        Returns
        -------
        kernels : Tensor, shape (n, out_channels, in_channels, \*support)
        """
        if self.where is None:
            kernel = self.conv.kernel
            return kernel.expand(len(pose), *kernel.shape)
        atoms = self.kept.like(pose, "rows", lambda: self.frame.flat)
        single = torch.eye(len(self.frame), dtype=pose.dtype, device=pose.device)
        responses, numbers = single.expand(len(pose), -1, -1), pose[:, :, None]
        if self.steering == "exact":
            rows, mixing = self.steer(responses, numbers), self.conv.coefficients
        else:
            rows, mixing = self.mixtures[0](responses, numbers), self._mixing()
        kernels = torch.einsum("nsk,ock,sp->nocp", rows, mixing.to(pose), atoms)
        return kernels.unflatten(-1, self.frame.support)

    def weights_by_structure(
        self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
    ) -> Weights:
        """Return the numbers of the static convolution; that of poses is in the parameters."""
        return self.conv.weights_by_structure(in_shape, out_shape)

    def to_dense(self) -> nn.Module:
        """Return a plain convolution where nothing is steered, else a copy: there is none."""
        return self.conv.to_dense() if self.where is None else copy.deepcopy(self)


class PoseNetwork(nn.Sequential):
    r"""The network that sees poses: a frame convolution and a few small ones, each with tanh.

    Angles are :math:`\pi \tanh(u)`, scales the smallest one and :math:`\log(1 + e^u)`, up to the
    largest one.

    Parameters
    ----------
    block : DynamicSteerableBlock
        For whose numbers, poses and frame.
    units, depth, context : int
        As for the block.
    """

    def __init__(self, block: Any, units: int, depth: int, context: int) -> None:
        frame, n_in = block.frame, block.conv.in_channels
        layers: list[nn.Module] = [
            FrameConv(n_in, units, frame, stride=block.conv.stride),
            nn.Tanh(),
        ]
        widths = [units] * (depth - 1) + [block.n_numbers * block.n_poses]
        for n_from, n_to in pairwise(widths):
            conv = CONV[frame.ndim](n_from, n_to, context, padding=context // 2)
            layers += [conv, nn.Tanh()]
        super().__init__(*layers[:-1])
        self.n_numbers, self.steering, self.range = block.n_numbers, block.steering, None
        last: Any = layers[-2]
        nn.init.normal_(last.weight, std=FLATTEST)
        nn.init.zeros_(last.bias)
        bias = last.bias.detach().unflatten(0, (self.n_numbers, -1))
        if block.steering == "filters":
            nn.init.normal_(bias)
        elif block.steering == "free":  # cosines and constants are near 1
            waves = torch.from_numpy(block.steer.stages[0].waves)
            bias[(waves == 0) | (waves % 2 == 1)] = UNTURNED
        elif block.steer.scale:
            self.range = block.steer.scale_range
            bias[-1] = log(expm1(block.steer.canonical.scales[0] - self.range[0]))

    def forward(self, x: Tensor) -> Tensor:
        r"""Map (n, in_channels, \*spatial) to poses (n, n_numbers, n_poses, \*spatial_out)."""
        numbers = super().forward(x).unflatten(1, (self.n_numbers, -1))
        if self.steering == "filters":
            return numbers
        if self.steering == "free":
            return torch.tanh(numbers)
        if self.range is None:
            return pi * torch.tanh(numbers)
        angles, scale = numbers[:, :-1], numbers[:, -1:]
        scale = (self.range[0] + F.softplus(scale)).clamp(max=self.range[1])
        return torch.cat([pi * torch.tanh(angles), scale], dim=1)

    def roughness(self, pose: Tensor) -> Tensor:
        r"""Return how much poses differ from place to place, (n,).

        .. math:: \frac{1}{P} \sum_p \sum_i 1 - \cos(\theta_{p + e_i} - \theta_p)

        Numbers that are no angles differ by half the square.
        """
        n_angles = 0 if self.steering != "exact" else self.n_numbers - (self.range is not None)
        total = pose.new_zeros(len(pose))
        for axis in range(3, pose.ndim):
            if pose.shape[axis] > 1:
                steps = pose.diff(dim=axis)
                angles, others = steps[:, :n_angles], steps[:, n_angles:]
                far = torch.cat([1 - torch.cos(angles), others.square() / 2], dim=1)
                total = total + far.flatten(2).mean(2).sum(1)
        return total


class Orientation(nn.Module):
    r"""The angles at which the first-order responses are largest.

    .. math:: \theta = \arg\max_\theta \sum_i (\cos \theta \, u_i - \sin \theta \, v_i)^2

    with the pair u, v of responses that turn once, of the smallest scale; of the two such angles
    it is the one with the positive sum.

    Parameters
    ----------
    way : SteeredFilter
        Of the frame.
    by_channel : bool
        Whether each channel has an angle of its own.
    """

    def __init__(self, way: SteeredFilter, by_channel: bool) -> None:
        super().__init__()
        frame, turn = way.frame, Turn(way.frame, PLANES[2][0])
        if 1 not in turn.waves:
            raise ValueError(f"pose='max' needs atoms that turn once, of which {frame!r} has none.")
        first = np.flatnonzero(np.diag(turn.waves[1]))[::2]
        used = turn.basis != 0
        row = min(first, key=lambda r: (frame.orders[used[r]].max(), frame.scales[used[r]].min()))
        self.pair = np.tensordot(turn.basis[row : row + 2], frame.atoms, axes=1)[:, np.newaxis]
        self.way, self.by_channel, self.kept = way, by_channel, KeptTensors()

    @torch.no_grad()  # where a response is largest, its derivative by the angle is zero
    def forward(self, x: Tensor) -> Tensor:
        r"""Map (n, channels, \*spatial) to (n, 1, 1 or channels, \*spatial_out)."""
        pair = self.kept.like(x, "pair", lambda: self.pair)
        single = x.flatten(0, 1).unsqueeze(1)
        y = convolve(single, pair, None, stride=self.way.stride, padding=self.way.padding)
        u, v = y.unflatten(0, x.shape[:2]).unbind(2)
        # Twice the angle has its sine and cosine from sums of squares.
        cosine, sine = self._total(u * u) - self._total(v * v), -2 * self._total(u * v)
        angle = torch.atan2(sine, cosine) / 2
        along = torch.cos(angle) * self._total(u) - torch.sin(angle) * self._total(v)
        return (angle + pi * (along < 0)).unsqueeze(1)

    def _total(self, values: Tensor) -> Tensor:
        return values if self.by_channel else values.sum(1, keepdim=True)
