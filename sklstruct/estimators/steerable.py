"""What architectures with dynamic steerable blocks have in common."""

from __future__ import annotations

from typing import Any

from ..architecture import Architecture
from ..layers import DynamicSteerableBlock
from ..params import FLAG, ODD, integer, one_of, param, real
from ..training.objectives import PosePenalty


class SteerableArchitecture(Architecture):
    """Base of architectures some of whose convolutions are steered by what they see.

    Parameters
    ----------
    pose : {"learned", "max", "fixed"}, default="learned"
        Where the poses of dynamic blocks come from: a small network, the orientation of the
        largest response, or nowhere: "fixed" is the static twin.  Signals have nothing to turn:
        their blocks are static but for ``steer_scale`` and ``steering="filters"``.
    steering : {"exact", "free", "filters"}, default="exact"
        Whether poses steer, or their network gives the steering functions themselves, or whole
        filters; see ``DynamicSteerableBlock``.
    poses : {"shared", "input", "output", "pair"}, default="shared"
        Of a place: one, or one for each input channel, output channel, or pair of these.
    steer_scale : bool, default=False
        Whether poses have a scale; the frame needs several ones.
    pose_units : int, default=8
        Channels of a pose network.
    pose_depth : int, default=3
        Its layers.
    pose_context : int, default=3
        Extent of its kernels after the first layer, odd.
    pose_penalty : float, default=0.0
        Strength of a penalty of poses that differ from place to place; see ``PosePenalty``.

    See Also
    --------
    sklstruct.layers.DynamicSteerableBlock : The block.

    Examples
    --------
    >>> from sklstruct.estimators import SteerableArchitecture
    >>> SteerableArchitecture(pose="fixed").dynamic(3, 8, "gaussian", ndim=2)
    FrameConv(3, 8, Frame('gaussian', 10 atoms on 7x7), stride=1, padding=(3, 3))
    """

    pose: str = param("learned", one_of("learned", "max", "fixed"))
    steering: str = param("exact", one_of("exact", "free", "filters"))
    poses: str = param("shared", one_of("shared", "input", "output", "pair"))
    steer_scale: bool = param(False, FLAG)
    pose_units: int = param(8, integer(1))
    pose_depth: int = param(3, integer(2))
    pose_context: int = param(3, ODD)
    pose_penalty: float = param(0.0, real(least=0), may_change=True)

    def dynamic(self, n_in: int, n_out: int, frame: Any, ndim: int, stride: int = 1) -> Any:
        """Return a dynamic steerable block without bias, or the static convolution in its place."""
        moves = ndim > 1 or self.steer_scale or self.steering == "filters"
        pose = self.pose if moves else "fixed"
        block = DynamicSteerableBlock(
            n_in,
            n_out,
            frame,
            ndim=ndim,
            stride=stride,
            bias=False,
            pose=pose,
            steering=self.steering,
            poses=self.poses,
            scale=self.steer_scale,
            units=self.pose_units,
            depth=self.pose_depth,
            context=self.pose_context,
        )
        return block.conv if pose == "fixed" else block

    def penalised(self, objective: Any) -> Any:
        """Return an objective with the penalty of poses."""
        if self.pose_penalty == 0 or self.pose != "learned":
            return objective
        return PosePenalty(objective, self.pose_penalty)
