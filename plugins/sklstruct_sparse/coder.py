"""ConvolutionalSparseCoder: codes of codes in convolutional dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_array, check_random_state, gen_batches
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklstruct.estimators import CarriesNames, FeatureTransformer, like_samples
from sklstruct.frames import build_frame
from sklstruct.layers import convolve
from sklstruct.params import SEED, Rule, all_or_nothing, check, integer, one_of, param, real
from sklstruct.plugins import make_frame
from sklstruct.threads import one_blas_thread
from sklstruct.training import limited_threads, resolve_device

from .cells import SignedCells
from .dictionary import ConvolutionalDictionary

COUNT = integer(1)
POSITIVE = real(above=0)
PURSUITS = one_of("fista", "ista", "threshold")
BLOCK = 1 << 15  # values of samples that are coded together
LEARNED_FROM = 200  # samples that patches are taken from
PATCHES, ROUNDS = 5000, 20  # of the learning of a dictionary


def several(rule: Rule) -> Rule:
    """Return the rule of a sequence, of one entry or more, each of which a rule holds for."""
    return Rule(
        f"a sequence, each {rule.words}",
        lambda v: isinstance(v, Sequence) and len(v) > 0 and all(map(rule.holds, v)),
    )


LAYERS = Rule(
    "a sequence of numbers of atoms, frames or arrays of atoms, one for each layer",
    lambda v: isinstance(v, (list, tuple)) and len(v) > 0,
)


class ConvolutionalSparseCoder(CarriesNames, FeatureTransformer):
    r"""Sparse codes of samples in a convolutional dictionary, and codes of these in the next.

    .. math::
        \gamma_l = \arg\min_g \tfrac{1}{2} \|\gamma_{l-1} - D_l g\|^2 + \lambda_l \|g\|_1, \qquad
        \gamma_0 = x

    the layered basis pursuit.  With ``pursuit="threshold"`` it is
    :math:`\gamma_l = \mathrm{soft}(D_l^T \gamma_{l-1}; \lambda_l)`, the forward pass of a
    convolutional network without biases of its own.  Samples are periodic, and no mean is taken
    away: centre natural images first.  The features are the codes of the last layer.

    Codes of layer l stand for the sample :math:`D_1 \cdots D_l \gamma_l`, which misses x by no more
    than the errors of the layers together,

    .. math::
        \|x - D_1 D_2 \gamma_2\| \le \|x - D_1 \gamma_1\| + \|D_1\| \|\gamma_1 - D_2 \gamma_2\|

    Parameters
    ----------
    dictionaries : sequence, default=(16, 32)
        For each layer a number of atoms, which are then learned without labels from patches of
        what the layer is given; or a frame, its family or its name, for every channel; or an
        array of atoms, (n_atoms, channels, *support).
    size : int or sequence of int, default=5
        Extent along every axis of atoms that are learned, at most that of the samples; one for
        each layer, or for all.
    penalty : float or sequence of float, default=0.1
        :math:`\lambda_l` as a share of the smallest one for which the code is zero,
        :math:`\max |D_l^T \gamma_{l-1}|` of each sample.
    pursuit : {"fista", "ista", "threshold"}, default="fista"
        See ``ConvolutionalDictionary.pursue``.
    tol : float, default=1e-6
        By how much of :math:`\lambda_l` the conditions of the minimum may be violated.
    max_steps : int, default=5000
    pool : int, default=None
        Cells along each axis over which the positive and the negative parts of the codes are
        averaged, each for itself; None gives every code.
    dtype : {"float32", "float64"}, default="float64"
        Single precision is twice as fast, and reaches a ``tol`` of about 1e-3.
    random_state : int, RandomState or None, default=None
        Draws patches.

    Attributes
    ----------
    atoms_ : list of ndarray, shape (n_atoms, channels, *support)
        Of unit norm; the channels of the second layer are the atoms of the first.
    mutual_coherence_ : ndarray, shape (n_layers,)

    See Also
    --------
    ConvolutionalSparseClassifier : What is linear in the codes.
    SparseFrameClassifier : Fixed frames, and thresholds without a pursuit.

    Notes
    -----
    Where every stripe of the codes has less than :math:`(1 + 1 / \mu) / 2` entries other than
    zero, with the mutual coherence :math:`\mu`, the true code of a sample without noise is the
    sparsest one, and basis pursuit finds it.

    References
    ----------
    V. Papyan, Y. Romano and M. Elad. Convolutional neural networks analyzed via convolutional
    sparse coding. JMLR, 2017.

    H. Lee, R. Grosse, R. Ranganath and A. Y. Ng. Unsupervised learning of hierarchical
    representations with convolutional deep belief networks. Communications of the ACM, 2011.

    A. Coates and A. Y. Ng. Learning feature representations with k-means. Neural networks: tricks
    of the trade, Springer, 2012.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import ConvolutionalSparseCoder
    >>> X = load_digits().images[:20]
    >>> options = {"size": 3, "penalty": 0.02, "tol": 0.01, "random_state": 0}
    >>> coder = ConvolutionalSparseCoder(dictionaries=(4, 8), **options)
    >>> codes = coder.fit_transform(X)
    >>> codes.shape, coder.effective_atoms().shape
    ((20, 512), (8, 1, 5, 5))
    >>> coder.reconstruction_error(X) < 0.2
    True
    """

    dictionaries: Any = param((16, 32), LAYERS)
    size: int | Sequence[int] = param(5, COUNT | several(COUNT))
    penalty: float | Sequence[float] = param(0.1, POSITIVE | several(POSITIVE))
    pursuit: str = param("fista", PURSUITS)
    tol: float = param(1e-6, POSITIVE)
    max_steps: int = param(5000, COUNT)
    pool: int | None = param(None, COUNT | None)
    dtype: str = param("float64", one_of("float32", "float64"))
    random_state: int | np.random.RandomState | None = param(None, SEED)

    @all_or_nothing
    @one_blas_thread()
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the dictionaries that are not given, one after the other.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            See ``sklstruct.estimators.samples`` for how a sample is read.
        y : None
            Is there for pipelines.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used; the message says which and why.
        """
        self.check_params()
        X = self._read(X, reset=True, ensure_min_features=self._fewest_features)
        self._learn(X)
        return self

    def codes(self, X: Any) -> list[NDArray[Any]]:
        """Return the codes of all layers.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        codes : list of ndarray, shape (n, n_atoms, *spatial)
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        found = self._run(X, lambda x: torch.cat(self._pursue(x), dim=1))
        return np.split(found, np.cumsum([len(atoms) for atoms in self.atoms_])[:-1], axis=1)

    def inverse_transform(self, X: Any) -> NDArray[Any]:
        r"""Return the samples that codes stand for, :math:`D_1 \cdots D_L \gamma_L`.

        Parameters
        ----------
        X : array-like, shape (n, n_features)
            Codes, as ``transform`` gives them where ``pool`` is None.

        Returns
        -------
        samples : ndarray, shape (n, ...)
            In the shape of the samples that ``fit`` had.

        Raises
        ------
        ValueError
            If X has another number of features, or means over cells have been taken.
        """
        check_is_fitted(self)
        if self.pool is not None:
            raise ValueError(f"inverse_transform needs codes, so pool=None, got {self.pool}.")
        shape = len(self.atoms_[-1]), *self.in_shape_[1:]
        X = check_array(X, dtype=self.dtype)
        if X.shape[1] != prod(shape):
            raise ValueError(f"X must have {prod(shape)} features, got {X.shape[1]}.")
        samples = self._run(X.reshape(-1, *shape), self._synthesise)
        return like_samples(samples, self.layout_, self.sample_shape_)

    def reconstruction_error(self, X: Any) -> float:
        r"""Return the mean of :math:`\|x - D_1 \cdots D_L \gamma_L\| / \|x\|` over samples.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)

        def missed(x: Tensor) -> Tensor:
            rest = x - self._synthesise(self._pursue(x)[-1])
            sizes = x.flatten(1).norm(dim=1).clamp_min(torch.finfo(x.dtype).tiny)
            return rest.flatten(1).norm(dim=1) / sizes

        return float(self._run(X, missed).mean())

    def effective_atoms(self, layer: int = -1) -> NDArray[Any]:
        """Return the atoms of a layer as samples show them, combinations of those before.

        Parameters
        ----------
        layer : int, default=-1
            Its number, from 0 on; -1 is the last one.

        Returns
        -------
        atoms : ndarray, shape (n_atoms, channels, *support)
            Each layer widens the support by that of its atoms less one.

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        check_is_fitted(self)
        n_layers = len(self.atoms_)
        check("layer", layer, integer(-n_layers, n_layers - 1))
        atoms = torch.from_numpy(self.atoms_[layer])
        ndim = atoms.ndim - 2
        for below in reversed(self.atoms_[: layer % n_layers]):
            # Each channel of an atom mixes shifts of one atom below: a convolution, no correlation.
            kernel = torch.from_numpy(below).transpose(0, 1).flip(tuple(range(2, 2 + ndim)))
            padding = tuple(extent - 1 for extent in kernel.shape[2:])
            atoms = convolve(atoms, kernel, None, stride=1, padding=padding)
        return atoms.contiguous().numpy()

    @property
    def mutual_coherence_(self) -> NDArray[np.float64]:
        """The largest inner product of two columns of each dictionary, over all shifts."""
        check_is_fitted(self)
        return np.array([dictionary.mutual_coherence for dictionary in self._dictionaries("cpu")])

    def _learn(self, X: NDArray[Any]) -> None:
        """Learn from samples (n, channels, *spatial)."""
        in_shape = X.shape[1:]
        random_state = check_random_state(self.random_state)
        sizes, _ = self._of_layers("size"), self._of_layers("penalty")  # refuses what is wrong now
        self.atoms_, self.in_shape_ = [], in_shape
        inputs = X[random_state.permutation(len(X))[:LEARNED_FROM]]
        for layer, given in enumerate(self.dictionaries):
            if COUNT.holds(given):
                support = tuple(min(sizes[layer], extent) for extent in in_shape[1:])
                patches = random_patches(inputs, support, random_state)
                atoms = learned_atoms(patches, int(given))
            else:
                atoms = given_atoms(given, inputs.shape[1], len(in_shape) - 1)
            tensor = torch.tensor(atoms, dtype=getattr(torch, self.dtype))
            self.atoms_.append(ConvolutionalDictionary(tensor, in_shape[1:]).atoms.numpy())
            if layer + 1 < len(self.dictionaries):
                inputs = self._run(inputs, lambda x: self._pursue(x, layer)[-1])  # noqa: B023 -- now

    # The way of samples to codes ----------------------------------------------------------------

    def _prepare(self, in_shape: tuple[int, ...]) -> None:
        pass

    def _function(self, device: str) -> Callable[[Tensor], Tensor]:
        pool: Any = torch.nn.Identity()
        if self.pool is not None:
            pool = SignedCells([self.in_shape_[1:]] * len(self.atoms_[-1]), self.pool)
        return lambda x: pool(self._pursue(x)[-1].flatten(1)[:, None]).flatten(1)

    def _names(self) -> NDArray[Any]:
        spatial = self.in_shape_[1:]
        signs: tuple[str, ...] = ("",)
        if self.pool is not None:
            spatial, signs = tuple(min(self.pool, extent) for extent in spatial), ("+", "-")
        names = [
            f"g{len(self.atoms_)} {atom}{sign} ({','.join(map(str, place))})"
            for atom in range(len(self.atoms_[-1]))
            for sign in signs
            for place in np.ndindex(*spatial)
        ]
        return np.array(names, dtype=object)

    def _run(self, X: NDArray[Any], function: Callable[[Tensor], Tensor]) -> NDArray[Any]:
        """Return what a function makes of arrays, some at a time."""
        device = resolve_device(self.device)
        size = max(1, BLOCK // prod(X.shape[1:]))
        with limited_threads(self.n_threads), torch.inference_mode():
            parts = (torch.from_numpy(X[rows]).to(device) for rows in gen_batches(len(X), size))
            return np.concatenate([function(part).numpy(force=True) for part in parts])

    def _pursue(self, x: Tensor, first: int = 0) -> list[Tensor]:
        """Return the codes of a layer and those above it, for what the layer is given."""
        codes, penalties = [], self._of_layers("penalty")
        for layer, dictionary in enumerate(self._dictionaries(x.device)[first:], first):
            options: dict[str, Any] = {"pursuit": self.pursuit, "tol": self.tol}
            x = dictionary.pursue(x, penalties[layer], max_steps=self.max_steps, **options)
            codes.append(x)
        return codes

    def _synthesise(self, codes: Tensor) -> Tensor:
        for dictionary in reversed(self._dictionaries(codes.device)):
            codes = dictionary.synthesise(codes)
        return codes

    def _dictionaries(self, device: Any) -> list[ConvolutionalDictionary]:
        dtype, spatial = getattr(torch, self.dtype), self.in_shape_[1:]
        return [
            ConvolutionalDictionary(torch.from_numpy(atoms).to(device, dtype), spatial)
            for atoms in self.atoms_
        ]

    def _of_layers(self, name: str) -> list[Any]:
        """Return the value of a parameter for each layer."""
        value, n_layers = getattr(self, name), len(self.dictionaries)
        values = list(value) if isinstance(value, Sequence) else [value] * n_layers
        if len(values) != n_layers:
            raise ValueError(f"{name} has {len(values)} entries for {n_layers} dictionaries.")
        return values


def given_atoms(given: Any, n_channels: int, ndim: int) -> NDArray[Any]:
    """Return the atoms of a dictionary, (n_atoms, n_channels, *support), for what stands for them.

    Raises
    ------
    ValueError
        If they are for other channels or dimensions, or not finite.
    """
    if isinstance(given, (np.ndarray, list)):
        atoms = check_array(given, ensure_2d=False, allow_nd=True, input_name="dictionaries")
        if atoms.ndim != 2 + ndim or atoms.shape[1] != n_channels:
            raise ValueError(
                f"dictionaries must hold atoms of shape (n_atoms, {n_channels}, *support) with "
                f"{ndim} extents here, got {atoms.shape}."
            )
        return atoms
    atoms = build_frame(make_frame(given), ndim).atoms
    of_channels = np.zeros((n_channels, len(atoms), n_channels, *atoms.shape[1:]))
    for channel in range(n_channels):  # which do not mix
        of_channels[channel, :, channel] = atoms
    return of_channels.reshape(-1, *of_channels.shape[2:])


def random_patches(
    X: NDArray[Any], support: tuple[int, ...], random_state: np.random.RandomState
) -> NDArray[Any]:
    """Return patches (at most 5000, channels, *support) of samples, but none of zeros.

    Raises
    ------
    ValueError
        If there are none.
    """
    windows = np.lib.stride_tricks.sliding_window_view(X, support, axis=tuple(range(2, X.ndim)))
    windows = np.moveaxis(windows, 1, -1 - len(support))  # (n, *places, channels, *support)
    n_places = prod(windows.shape[: X.ndim - 1])
    numbers = random_state.permutation(n_places)[: 10 * PATCHES]  # codes are mostly zeros
    patches = windows[np.unravel_index(numbers, windows.shape[: X.ndim - 1])]
    patches = patches[patches.reshape(len(patches), -1).any(axis=1)][:PATCHES]
    if not len(patches):
        raise ValueError("A dictionary cannot be learned: what its layer is given is zero.")
    return patches


def learned_atoms(patches: NDArray[Any], n_atoms: int) -> NDArray[Any]:
    """Return atoms (n_atoms, channels, *support), the means of clusters of patches.

    These are spherical k-means: a patch belongs to the atom with which its product is largest,
    whatever the sign, and counts by its energy.
    """
    X = patches.reshape(len(patches), -1)
    D = X[np.arange(n_atoms) % len(X)]
    for _ in range(ROUNDS):
        D = D / np.linalg.norm(D, axis=1, keepdims=True)
        products = X @ D.T
        codes = np.zeros_like(products)
        best = np.abs(products).argmax(axis=1)[:, np.newaxis]
        np.put_along_axis(codes, best, np.take_along_axis(products, best, axis=1), axis=1)
        means = codes.T @ X
        D = np.where(means.any(axis=1, keepdims=True), means, D)  # of no patch none is left
    return D.reshape(n_atoms, *patches.shape[1:])
