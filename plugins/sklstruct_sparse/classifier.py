"""Classifiers that are linear in sparse codes: of a fixed transform, and of dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklstruct.compat import TransformerMixin, check_feature_names_in
from sklstruct.estimators import CarriesNames, TorchReader
from sklstruct.frames import (
    AnisotropicGaussian,
    CurveletTransform,
    FourierTransform,
    FrameTransform,
    WaveletTransform,
    make_transform,
)
from sklstruct.params import integer, param
from sklstruct.training import limited_threads, resolve_device

from .cells import SignedCells
from .coder import COUNT, PURSUITS, ConvolutionalSparseCoder
from .linear import RidgeOnFeatures
from .ridge import SURE, Array
from .thresholds import RULES, Threshold

ELONGATED = AnisotropicGaussian(n_orientations=8, scales=(1.5,))
BLOCK = 1 << 23  # coefficients that are there at a time
ENOUGH = 1000  # samples to find thresholds on
AT_A_TIME = 1000  # samples whose features are there in double precision
STEPS, RATE = 25, 0.2  # of Adam, on the softplus of the factors


class SparseFrameClassifier(CarriesNames, RidgeOnFeatures, TransformerMixin, TorchReader):
    r"""Linear classifier of the sparse codes of samples in a fixed frame.

    .. math::
        h_2 = \sigma(W^{(1)} x; \tau), \qquad f(x) = W^{(2)} \, \mathrm{pool}(h_2) + b^{(2)}

    The transform :math:`W^{(1)}` is fixed and Parseval.  The linear classifier is a ridge
    regression of the classes (1 for the own one, -1 for the others).  Its strength C and the
    temperature of the probabilities are those of least log loss of samples that are left out.

    Without pooling this is the two-layer net of the reference, and its codes :math:`h_2` are
    invariant under nothing: a shift of the image changes all of them.  The means over cells are
    what makes small shifts harmless.

    Parameters
    ----------
    frame : {"fourier", "wavelet", "curvelet"}, frame or transform, default=None
        As ``make_transform`` takes it; a frame, its family or its name stands for the tight
        frame of filters that is made of it.  None are derivatives of Gaussians: in the plane and
        in space elongated ones in several directions, on a line round ones.
    threshold : {"soft", "hard", "keep-k", "printed-soft", "printed-hard"}, default="soft"
        "keep-k" keeps the largest coefficients of each sample.  The formulas that are printed in
        the reference lose signs, see ``printed_hard`` and ``printed_soft``.
    tau : float, default=None
        What coefficients must exceed, in the unit of the samples.  None is the root mean square
        of each sub-band over the training samples.
    k : int, default=None
        Coefficients to keep, of all channels together; None is a tenth of them.
    learn_threshold : bool, default=False
        Whether a factor on the threshold of every sub-band is learned, by gradient descent on the
        squared error of samples that are left out ("soft" and "printed-soft" only).
    pool : int, default=7
        Cells along each axis of every sub-band, at most its extent, over which the positive and
        the negative parts of the codes are averaged, each for itself.  None keeps every code.
    random_state : int, RandomState or None, default=None
        Draws the samples that thresholds are learned on, where these are more than 1000.

    Attributes
    ----------
    frame_ : transform
        Its ``bands(spatial)`` tell what the codes are.
    thresholds_ : ndarray, shape (n_channels, n_bands)
    n_parameters_ : int
        Entries of ``coef_`` and ``intercept_``, and of the thresholds if they are learned.

    See Also
    --------
    ScatteringLinear : Moduli of wavelets, those of second order too.
    ConvolutionalSparseCoder : Codes in a dictionary that is learned, and by pursuit.
    FrameTransformer : Responses to the atoms of a frame as features.

    References
    ----------
    J. Tanner. Theories of deep learning, C6.5, video 12. University of Oxford.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import SparseFrameClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SparseFrameClassifier(image_shape=(8, 8), pool=4).fit(X[:300], y[:300])
    >>> model.score(X[300:], y[300:]) > 0.8
    True
    >>> codes = model.transform(X[:5])
    >>> codes.shape, bool((codes == 0).mean() > 0.5)
    ((5, 3136), True)
    """

    frame: Any = param(None, resolve=make_transform)
    threshold: str = param("soft", RULES["threshold"])
    tau: float | None = param(None, RULES["tau"])
    k: int | None = param(None, RULES["k"])
    learn_threshold: bool = param(False, RULES["learn_threshold"])
    pool: int | None = param(7, integer(1) | None)

    _fewest_features: ClassVar[int] = 2
    _prepared: ClassVar[tuple[str, ...]] = ("frame_", "_bands")

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the sparse codes, channel by channel in the order of the sub-bands.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        codes : ndarray, shape (n, n_channels * n_coefficients)
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        return np.concatenate([codes.flatten(1).numpy(force=True) for codes in self._codes(X)])

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return a name such as ``c0 dd2 (3,1)`` for every code: channel, sub-band and place."""
        check_is_fitted(self)
        check_feature_names_in(self, input_features, generate_names=False)
        names = [
            f"c{channel} {band.name} ({','.join(map(str, place))})"
            for channel in range(self.in_shape_[0])
            for band in self._bands
            for place in np.ndindex(*band.shape)
        ]
        return np.array(names, dtype=object)

    # The way of samples to decision values ------------------------------------------------------

    def _prepare(self, in_shape: tuple[int, ...]) -> None:
        usual = ELONGATED if len(in_shape) > 2 else "gaussian"  # on a line there are no directions
        self.frame_: Any = make_transform(usual if self.frame is None else self.frame)
        self._bands = self.frame_.bands(in_shape[1:])

    def _layer(self, tau: Any = 1.0, learn_threshold: bool = False) -> Threshold:
        """Return the threshold as a layer."""
        sizes = [prod(band.shape) for band in self._bands]
        layer = Threshold(self.in_shape_[0], sizes, self.threshold, tau, self.k, learn_threshold)
        return layer.to(resolve_device(self.device), getattr(torch, self.dtype))

    def _coefficients(self, X: NDArray[Any]) -> Iterator[Tensor]:
        """Yield coefficients (m, n_channels, n_coefficients) of some samples at a time."""
        device, n_channels = resolve_device(self.device), self.in_shape_[0]
        size = max(1, BLOCK // (n_channels * self._bands[-1].part.stop))
        for rows in gen_batches(len(X), size):
            part = X[rows]
            found = self.frame_.analyse(part.reshape(-1, *part.shape[2:]))
            yield torch.from_numpy(found.reshape(len(part), n_channels, -1)).to(device)

    def _codes(self, X: NDArray[Any]) -> Iterator[Tensor]:
        """Yield codes of some samples at a time."""
        layer = self._layer(self.thresholds_)
        with limited_threads(self.n_threads), torch.no_grad():
            for coefficients in self._coefficients(X):
                yield layer(coefficients)

    def _pool(self, codes: Tensor) -> Tensor:
        """Return what the linear classifier sees of codes, (m, n_features)."""
        if self.pool is None:
            return codes.flatten(1)
        return SignedCells([band.shape for band in self._bands], self.pool)(codes).flatten(1)

    def _features(self, X: NDArray[Any]) -> Iterator[Array]:
        """Yield that of some samples at a time, in double precision."""
        for codes in self._codes(X):
            yield self._pool(codes).double().numpy(force=True)

    # What is found in training ------------------------------------------------------------------

    def _learn_features(
        self, X: NDArray[Any], codes: NDArray[np.intp], targets: Array, weight: Array
    ) -> int:
        self.in_shape_ = X.shape[1:]
        self._prepare(self.in_shape_)
        self._layer(learn_threshold=self.learn_threshold)  # refuses now what cannot be
        self.thresholds_ = self._units(X, weight)
        if not self.learn_threshold:
            return 0
        self._choose(X, codes, targets, weight)
        self.thresholds_ = self._learned(X, targets, weight)
        return self.thresholds_.size

    def _units(self, X: NDArray[Any], weight: Array) -> Array:
        """Return the thresholds that are told, or the root mean squares of the sub-bands."""
        shape = self.in_shape_[0], len(self._bands)
        if self.tau is not None or self.threshold == "keep-k":
            return np.full(shape, self.tau or 0.0)
        sums, done = np.zeros(shape), 0
        for part in self._coefficients(X):
            share = torch.from_numpy(weight[done : done + len(part)]).to(part.device)
            squares = torch.einsum("n,nck->ck", share, part.double().square())
            sums += [
                [float(of_channel[band.part].mean()) for band in self._bands]
                for of_channel in squares
            ]
            done += len(part)
        return np.sqrt(sums / weight.sum())

    def _learned(self, X: NDArray[Any], targets: Array, weight: Array) -> Array:
        """Return thresholds that lower the squared error of samples that are left out."""
        rows = check_random_state(self.random_state).permutation(len(X))[:ENOUGH]
        layer = self._layer(self.thresholds_, learn_threshold=True)
        T, root = (
            torch.from_numpy(part[rows]).to(layer.tau)
            for part in (targets, np.sqrt(weight)[:, None])
        )
        one = root / root.norm()
        with limited_threads(self.n_threads), torch.no_grad():
            coefficients = torch.cat([*self._coefficients(X[rows])])
        optimizer = torch.optim.Adam(layer.parameters(), lr=RATE)
        with limited_threads(self.n_threads), torch.enable_grad():
            for _ in range(STEPS):
                A = root * self._pool(layer(coefficients))
                A = A - one * (one.T @ A)
                K = A @ A.T * (root.square().sum() / A.square().sum())
                # What is left over of targets, H T, and of each sample itself, the diagonal of H.
                inverse = torch.linalg.inv(torch.eye(len(K)).to(K) + self.C_ * K)
                left = inverse - one @ one.T
                missed = left @ (root * T) / left.diagonal()[:, None].clamp_min(SURE)
                optimizer.zero_grad()
                missed.square().sum().backward()
                optimizer.step()
        return layer.thresholds.detach().double().numpy(force=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [self.dtype]
        return tags

    @classmethod
    def _holds(cls) -> tuple[type, ...]:
        """Return the classes whose objects a model file may hold."""
        return CurveletTransform, FourierTransform, FrameTransform, WaveletTransform


class ConvolutionalSparseClassifier(RidgeOnFeatures, ConvolutionalSparseCoder):
    """Linear classifier of sparse codes in convolutional dictionaries.

    The dictionaries that are not given are learned without labels, from samples that are all
    different.  The linear classifier is that of ``SparseFrameClassifier``.

    Parameters
    ----------
    pursuit : {"fista", "ista", "threshold"}, default="threshold"
        See ``ConvolutionalDictionary.pursue``; the default is the forward pass of a network.
    pool : int, default=7
        Cells along each axis, at most the extent, over which the positive and the negative parts
        of the codes are averaged, each for itself; None gives every code.
    random_state : int, RandomState or None, default=None
        Draws patches.

    Attributes
    ----------
    n_parameters_ : int
        Entries of ``coef_`` and ``intercept_``, and of the atoms that are learned.

    See Also
    --------
    ConvolutionalSparseCoder : The features alone.
    SparseFrameClassifier : Fixed frames, and thresholds without a pursuit.

    References
    ----------
    V. Papyan, Y. Romano and M. Elad. Convolutional neural networks analyzed via convolutional
    sparse coding. JMLR, 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import ConvolutionalSparseClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = ConvolutionalSparseClassifier(image_shape=(8, 8), size=3, random_state=0)
    >>> model.fit(X[:300], y[:300]).score(X[300:], y[300:]) > 0.8
    True
    >>> model.transform(X[:5]).shape
    (5, 3136)
    """

    pursuit: str = param("threshold", PURSUITS)
    pool: int | None = param(7, COUNT | None)

    def _learn_features(
        self, X: NDArray[Any], codes: NDArray[np.intp], targets: Array, weight: Array
    ) -> int:
        self._learn(X)
        given = zip(self.dictionaries, self.atoms_, strict=True)
        return sum(atoms.size for entry, atoms in given if COUNT.holds(entry))

    def _features(self, X: NDArray[Any]) -> Iterator[Array]:
        for rows in gen_batches(len(X), AT_A_TIME):
            yield self._compute(X[rows]).astype(np.float64)
