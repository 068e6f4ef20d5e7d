"""Features that torch computes and nobody learns: what they share, and those of frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..compat import TransformerMixin, check_feature_names_in
from ..frames import Frame
from ..layers import FrameConv
from ..params import all_or_nothing, instance_of, integer, one_of, param
from ..plugins import make_frame
from ..training.device import MOST_THREADS, resolve_device, seeded_initialisation
from ..training.prediction import run_in_pieces
from .carried import CarriesNames
from .samples import SampleReader

POOL = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
NONLINEARITIES = {"abs": torch.abs, "square": torch.square, "none": lambda responses: responses}


class TorchReader(SampleReader):
    """Base of estimators that compute on samples with torch.

    Parameters
    ----------
    device : str, default="auto"
        Any torch device; "auto" takes the environment variable SKLSTRUCT_DEVICE, else CUDA, MPS
        or the CPU, whichever is there first.
    n_threads : int, default=1
        Threads of torch on a CPU; None takes torch's own setting.

    See Also
    --------
    FrameTransformer, DifferentialInvariants : What is made of it.

    Examples
    --------
    >>> from sklstruct.estimators import TorchReader
    >>> class Mine(TorchReader):
    ...     depth: int = 2
    >>> Mine(device="cpu", n_threads=2)
    Mine(image_shape=None, layout=None, dtype='float32', device='cpu', n_threads=2, depth=2)
    """

    device: str = param("auto", instance_of("the name of a device", str))
    n_threads: int | None = param(1, integer(1, MOST_THREADS) | None)

    _sees_places: ClassVar[bool] = True


class FeatureTransformer(TransformerMixin, TorchReader):
    """Base of transformers whose features of a sample do not depend on others.

    A subclass says what is there for samples of a shape, how they become features, and what
    these are called.

    Attributes
    ----------
    in_shape_ : tuple of int
        Shape of a sample, (channels, *spatial).

    See Also
    --------
    FrameTransformer : Responses to the atoms of a frame.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.estimators import FeatureTransformer
    >>> class Means(FeatureTransformer):
    ...     def _prepare(self, in_shape):
    ...         pass
    ...     def _function(self, device):
    ...         return lambda x: x.flatten(2).mean(2)
    ...     def _names(self):
    ...         return np.array([f"mean{c}" for c in range(self.in_shape_[0])], dtype=object)
    >>> Means().fit_transform(np.ones((5, 3, 8, 8))).shape
    (5, 3)
    """

    _fewest_features: ClassVar[int] = 1

    @abstractmethod
    def _prepare(self, in_shape: tuple[int, ...]) -> None:
        """Set what is needed for samples of a shape (channels, *spatial)."""

    _prepared: ClassVar[tuple[str, ...]] = ()  # the names of what is set so

    @abstractmethod
    def _function(self, device: str) -> Callable[[Tensor], Tensor]:
        """Return what maps samples (n, channels, *spatial) on a device to features (n, ...)."""

    @abstractmethod
    def _names(self) -> NDArray[Any]:
        """Return the name of every feature."""

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> Self:
        """Build the filters for the shape of the samples; y is there for pipelines."""
        self.check_params()
        # All of X is read for its shape alone, and so that what is no number is refused now.
        in_shape = self._read(X, reset=True, ensure_min_features=self._fewest_features).shape[1:]
        self._prepare(in_shape)
        self.in_shape_ = in_shape  # comes last, as it tells that nothing is missing
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the features.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        features : ndarray, shape (n, n_features_out)
        """
        check_is_fitted(self)
        return self._compute(self._read(X, reset=False))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the name of every feature."""
        check_is_fitted(self)
        check_feature_names_in(self, input_features, generate_names=False)
        return self._names()

    def _compute(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the features of samples (n, channels, *spatial)."""
        device = resolve_device(self.device)
        return run_in_pieces(self._function(device), X, torch.tensor, device, self.n_threads)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "in_shape_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [self.dtype]
        return tags


class PooledMaps(FeatureTransformer):
    """Base of transformers whose features are means of maps, made of responses to a frame.

    A subclass says which frame it is, what maps its responses make, and what these are called.

    Parameters
    ----------
    pool : int, default=4
        Number of cells along every axis, at most the extent; None keeps every sample point.

    Attributes
    ----------
    frame_ : Frame
    """

    pool: int | None = param(4, integer(1) | None)

    _prepared: ClassVar[tuple[str, ...]] = ("frame_",)
    _padding_mode: ClassVar[str] = "zeros"

    @abstractmethod
    def _frame(self, ndim: int) -> Frame:
        """Return the frame in so many dimensions."""

    @abstractmethod
    def _maps(self, responses: Tensor) -> Tensor:
        """Return maps (n, n_maps, *spatial) for responses to the atoms (n, n_atoms, *spatial)."""

    @abstractmethod
    def _labels(self) -> Sequence[str]:
        """Return the name of each map."""

    def _prepare(self, in_shape: tuple[int, ...]) -> None:
        self.frame_ = self._frame(len(in_shape) - 1)

    def _function(self, device: str) -> Callable[[Tensor], Tensor]:
        options: dict[str, Any] = {"bias": False, "padding_mode": self._padding_mode}
        with seeded_initialisation(0):  # which draws weights that are not used
            layer = FrameConv(1, len(self.frame_), self.frame_, **options)
        layer = layer.to(device, getattr(torch, self.dtype)).eval()
        with torch.no_grad():
            layer.weight.copy_(torch.diag(layer.norms)[:, None])
        pool: Any = POOL[len(self.in_shape_) - 1]

        def features(x: Tensor) -> Tensor:
            responses = layer(x.flatten(0, 1)[:, None])  # every channel is a sample of its own
            return pool(self._maps(responses), self._cells()).reshape(len(x), -1)

        return features

    def _names(self) -> NDArray[Any]:
        names = [
            f"c{channel} {label} ({','.join(map(str, cell))})"
            for channel in range(self.in_shape_[0])
            for label in self._labels()
            for cell in np.ndindex(*self._cells())
        ]
        return np.array(names, dtype=object)

    def _cells(self) -> tuple[int, ...]:
        # Of an axis with fewer sample points than cells, every point is one.
        return tuple(min(self.pool or extent, extent) for extent in self.in_shape_[1:])


class FrameTransformer(CarriesNames, PooledMaps):
    r"""Responses to the atoms of a frame, made positive and averaged over cells.

    .. math::
        \Phi_{ckp}(f) = \mathrm{mean}_{x \in \text{cell } p} \, | (\psi_k \star f_c)(x) |

    Nothing is learned.  Features have names such as ``c0 g_xy (1,3)``, for channel, atom and cell.

    Parameters
    ----------
    frame : str or frame family, default="gaussian"
    nonlinearity : {"abs", "square", "none"}, default="abs"

    See Also
    --------
    ScatteringTransformer : Wavelets, of higher orders too.
    DifferentialInvariants : Functions of the jet that rotations leave as they are.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import FrameTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> FrameTransformer(image_shape=(8, 8)).fit_transform(X[:5]).shape
    (5, 160)
    """

    frame: Any = param("gaussian", resolve=make_frame)
    nonlinearity: str = param("abs", one_of(*NONLINEARITIES))

    def _frame(self, ndim: int) -> Frame:
        frame: Frame = make_frame(self.frame).build(ndim)
        return frame

    def _maps(self, responses: Tensor) -> Tensor:
        return NONLINEARITIES[self.nonlinearity](responses)

    def _labels(self) -> Sequence[str]:
        return self.frame_.labels
