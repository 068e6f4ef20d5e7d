"""Conformance checks: what every frame and every architecture must satisfy.

A plugin's own test file needs three lines for each::

    from sklstruct.testing import parametrize_frames

    @parametrize_frames("dct")
    def test_frame(check, family, ndim):
        check(family, ndim)

    from sklstruct.testing import parametrize_architectures

    @parametrize_architectures("tiny")
    def test_architecture(check, build, in_shape):
        check(build, in_shape)

Without names they run over everything that is registered.  What a plugin refuses with a
``ValueError``, a number of dimensions say, is skipped, as long as it accepts something.  Only
the decorators need pytest: a check is a plain function that raises where it is not satisfied.
"""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce, wraps
from itertools import permutations, product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from torch import Tensor, nn
from torch.func import functional_call

from .architecture import Architecture, make_architecture
from .docstrings import entries as entries_of
from .docstrings import split_sections
from .estimators.base import RECIPE
from .frames import Frame
from .layers import DynamicSteerableBlock, FrameConv, Reversible, ReversibleSequential, to_dense
from .plugins import entries, make_frame
from .training.objectives import main_output

NDIMS = (1, 2, 3)
IMAGES = 3, 32, 32
SHAPES = ((1, 5), (3, 40), (1, 8, 8), (1, 28, 28), IMAGES, (1, 12, 12, 12), (3, 8, 9, 10))
N_OUTPUTS = 3

Build = Callable[..., Any]
Check = Callable[[Any, Any], None]


def parametrize_frames(*frames: Any) -> Any:
    """Return a decorator that runs every check of a frame in one, two and three dimensions.

    Parameters
    ----------
    *frames : str or frame family
        Registered names, or families with parameters of your choice; everything registered
        if there are none.

    Returns
    -------
    decorator : pytest.MarkDecorator
        For a test function of ``check``, ``family`` and ``ndim``.

    See Also
    --------
    parametrize_architectures : The same for architectures.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.testing import parametrize_frames
    >>> @parametrize_frames("pixel", GaussianDerivatives(order=2))
    ... def test_frame(check, family, ndim):
    ...     check(family, ndim)
    """
    families = [(_label(frame), make_frame(frame)) for frame in frames or entries("frame")]
    return _parametrize("family, ndim", FRAME_CHECKS, families, NDIMS, lambda f, n: f.build(n))


def parametrize_architectures(*architectures: Any) -> Any:
    """Return a decorator that runs every check of an architecture on many shapes of samples.

    Parameters
    ----------
    *architectures : str, Architecture or callable
        Registered names, architectures or their classes, or functions
        ``(in_shape, n_outputs) -> Module``; everything registered if there are none.

    Returns
    -------
    decorator : pytest.MarkDecorator
        For a test function of ``check``, ``build`` and ``in_shape``.

    See Also
    --------
    parametrize_frames : The same for frames.

    Examples
    --------
    >>> from sklstruct.testing import parametrize_architectures
    >>> from sklstruct_rfnn.architecture import RFNN
    >>> @parametrize_architectures(RFNN(widths=(4,)))
    ... def test_architecture(check, build, in_shape):
    ...     check(build, in_shape)
    """
    builds = []
    for architecture in architectures or entries("architecture"):
        made = make_architecture(architecture)
        builds.append((_label(architecture), getattr(made, "build", made)))
    return _parametrize(
        "build, in_shape", ARCHITECTURE_CHECKS, builds, SHAPES, lambda b, shape: b(shape, N_OUTPUTS)
    )


# --- frames ---------------------------------------------------------------------------------


def check_frame_builds(family: Any, ndim: int) -> None:
    """Check that a family builds a frame of that many dimensions, each atom with its label.

    See Also
    --------
    parametrize_frames : All checks of frames as tests.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.testing import check_frame_builds
    >>> check_frame_builds(GaussianDerivatives(order=2), ndim=2)
    """
    frame = family.build(ndim)
    assert isinstance(frame, Frame), f"build({ndim}) must return a Frame, got {type(frame)}."
    assert frame.ndim == ndim, f"build({ndim}) returns a frame of {frame.ndim} dimensions."
    assert len(set(frame.labels)) == len(frame), f"The labels are not distinct: {frame.labels}."


def check_frame_repeats(family: Any, ndim: int) -> None:
    """Check that equal parameters give equal atoms: built again, cloned, set or pickled.

    See Also
    --------
    parametrize_frames : All checks of frames as tests.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.testing import check_frame_repeats
    >>> check_frame_repeats(GaussianDerivatives(order=2), ndim=2)
    """
    params, frame = family.get_params(), family.build(ndim)
    made = type(family)
    for twin in (family, clone(family), made(**params), made().set_params(**params)):
        assert repr(twin.get_params()) == repr(params)
        np.testing.assert_array_equal(twin.build(ndim).atoms, frame.atoms)
    for original in (family, frame):
        loaded = pickle.loads(pickle.dumps(original)).build(ndim)
        np.testing.assert_array_equal(loaded.evaluate(loaded.grid), frame.evaluate(frame.grid))


def check_frame_refuses_unknown_parameters(family: Any, ndim: int) -> None:
    """Check that a parameter that does not exist raises ValueError, and is no silent no-op.

    See Also
    --------
    parametrize_frames : All checks of frames as tests.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.testing import check_frame_refuses_unknown_parameters
    >>> check_frame_refuses_unknown_parameters(GaussianDerivatives(order=2), ndim=2)
    """
    try:
        clone(family).set_params(no_such_parameter=ndim)
    except ValueError:
        return
    raise AssertionError(f"{family!r} takes a parameter that does not exist.")


def check_frame_bounds(family: Any, ndim: int) -> None:
    """Check that the frame bounds hold for patches of the span, and are attained.

    See Also
    --------
    parametrize_frames : All checks of frames as tests.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.testing import check_frame_bounds
    >>> check_frame_bounds(GaussianDerivatives(order=2), ndim=2)
    """
    frame = family.build(ndim)
    lower, upper = frame.bounds
    patches = _noise(50, len(frame)) @ frame.flat
    energies = ((patches @ frame.flat.T) ** 2).sum(axis=1) / (patches**2).sum(axis=1)
    rounding = 1e-12 * upper
    assert energies.min() >= lower - rounding, f"Lower bound {lower}, seen {energies.min()}."
    assert energies.max() <= upper + rounding, f"Upper bound {upper}, seen {energies.max()}."
    extremes = np.linalg.svd(frame.flat, full_matrices=False)[2][[frame.rank - 1, 0]]
    attained = ((extremes @ frame.flat.T) ** 2).sum(axis=1)
    np.testing.assert_allclose(attained, frame.bounds, rtol=0, atol=rounding)


def check_frame_whitening(family: Any, ndim: int) -> None:
    """Check that the whitened atoms have both frame bounds 1, and span the same kernels.

    See Also
    --------
    parametrize_frames : All checks of frames as tests.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.testing import check_frame_whitening
    >>> check_frame_whitening(GaussianDerivatives(order=2), ndim=2)
    """
    frame = family.build(ndim)
    tight = frame.whitening @ frame.flat
    rounding = 1e-14 * frame.condition_number + 1e-12
    eigenvalues = np.linalg.eigvalsh(tight @ tight.T)
    expected = np.repeat([0.0, 1.0], [len(frame) - frame.rank, frame.rank])
    np.testing.assert_allclose(eigenvalues, expected, atol=rounding)
    synthesis = frame.flat @ tight.T @ tight
    np.testing.assert_allclose(synthesis, frame.flat, atol=rounding * abs(frame.flat).max())


def check_frame_factors(family: Any, ndim: int) -> None:
    """Check that factors, where a frame has them, multiply to the atoms.

    See Also
    --------
    parametrize_frames : All checks of frames as tests.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.testing import check_frame_factors
    >>> check_frame_factors(GaussianDerivatives(order=2), ndim=2)
    """
    frame = family.build(ndim)
    if frame.factors is not None:
        products = [reduce(np.multiply.outer, one) for one in zip(*frame.factors, strict=True)]
        np.testing.assert_allclose(products, frame.atoms, atol=1e-9 * abs(frame.atoms).max())


def check_frame_steers(family: Any, ndim: int) -> None:
    """Check that steering by a symmetry of the grid is the best mix, and states its errors.

    See Also
    --------
    parametrize_frames : All checks of frames as tests.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.testing import check_frame_steers
    >>> check_frame_steers(GaussianDerivatives(order=2), ndim=2)
    """
    frame = family.build(ndim)
    inverse = np.linalg.pinv(frame.flat)
    for matrix, moved in grid_symmetries(frame):
        steering = frame.steering(matrix)
        nearest = moved @ inverse @ frame.flat
        errors = np.linalg.norm(nearest - moved, axis=1) / np.linalg.norm(moved, axis=1)
        mixed = steering.matrix @ frame.flat
        np.testing.assert_allclose(mixed, nearest, atol=1e-9 * abs(moved).max())
        np.testing.assert_allclose(steering.errors, errors, atol=1e-9)


def check_frame_convolves(family: Any, ndim: int) -> None:
    """Check ``FrameConv`` and its gradients against a plain convolution with its kernel.

    See Also
    --------
    parametrize_frames : All checks of frames as tests.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.testing import check_frame_convolves
    >>> check_frame_convolves(GaussianDerivatives(order=2), ndim=2)
    """
    frame = family.build(ndim)
    for method in ("compose",) if frame.factors is None else ("compose", "filter"):
        with _double_precision():
            conv = FrameConv(2, 3, frame, method=method)
        x = torch.from_numpy(_noise(2, 2, *(9, 8, 7)[:ndim])).requires_grad_()
        dense = conv.to_dense()
        parameters: dict[str, Any] = {"weight": conv.kernel, "bias": conv.bias}
        plain = functional_call(dense, parameters, x)
        probe = torch.from_numpy(_noise(*plain.shape))
        wanted = plain, *torch.autograd.grad(plain, [x, *conv.parameters()], probe)
        out = conv(x)
        seen = out, *torch.autograd.grad(out, [x, *conv.parameters()], probe)
        for one, other in zip((*seen, dense(x)), (*wanted, plain), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


FRAME_CHECKS = (
    check_frame_builds,
    check_frame_repeats,
    check_frame_refuses_unknown_parameters,
    check_frame_bounds,
    check_frame_whitening,
    check_frame_factors,
    check_frame_steers,
    check_frame_convolves,
)


def grid_symmetries(frame: Frame) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield every rotation and mirror of the grid, and the atoms moved by it sample by sample.

    Yields
    ------
    matrix : ndarray, shape (ndim, ndim)
        A signed permutation of the axes.
    moved : ndarray, shape (n_atoms, n_samples)

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.testing import grid_symmetries
    >>> len(list(grid_symmetries(GaussianDerivatives().build(ndim=2))))
    8
    """
    for order in permutations(range(frame.ndim)):
        atoms = frame.atoms.transpose(0, *(axis + 1 for axis in order))
        if atoms.shape != frame.atoms.shape:
            continue
        for signs in product((1, -1), repeat=frame.ndim):
            mirrored = tuple(axis + 1 for axis, sign in enumerate(signs) if sign < 0)
            matrix = np.diag(signs) @ np.eye(frame.ndim)[list(order)]
            yield matrix, np.flip(atoms, mirrored).reshape(len(frame), -1)


# --- architectures --------------------------------------------------------------------------


def check_architecture_is_data(build: Build, in_shape: tuple[int, ...]) -> None:
    """Check that parameters are described, that copies have them, and unknown ones are refused.

    See Also
    --------
    parametrize_architectures : All checks of architectures as tests.

    Examples
    --------
    >>> from sklstruct.testing import check_architecture_is_data
    >>> from sklstruct_rfnn.architecture import RFNN
    >>> check_architecture_is_data(RFNN(widths=(4,)).build, in_shape=(1, 8, 8))
    """
    if (architecture := _architecture(build)) is None:
        return  # a function has none
    cls, params = type(architecture), architecture.get_params(deep=False)
    sections = split_sections(inspect.cleandoc(cls.__doc__ or ""))
    described = entries_of(sections.get("Parameters", ""))
    missing = set(params) - {name for names in described for name in names.split(", ")}
    assert not missing, f"The docstring of {cls.__name__} does not describe {sorted(missing)}."
    assert cls(**params) == clone(architecture) == cls().set_params(**params) == architecture
    try:
        clone(architecture).set_params(no_such_parameter=1)
    except ValueError:
        return
    raise AssertionError(f"{cls.__name__} takes a parameter that does not exist.")


def check_architecture_presets(build: Build, in_shape: tuple[int, ...]) -> None:
    """Check that presets set what is there to be set, and build what they say.

    See Also
    --------
    parametrize_architectures : All checks of architectures as tests.

    Examples
    --------
    >>> from sklstruct.testing import check_architecture_presets
    >>> from sklstruct_rfnn.architecture import RFNN
    >>> check_architecture_presets(RFNN(widths=(4,)).build, in_shape=(1, 8, 8))
    """
    architecture = _architecture(build)
    if architecture is None or in_shape != IMAGES:
        return  # what most published networks are made for
    fields = architecture.get_params(deep=False)
    for name, table in architecture.presets.items():
        unknown = set(table) - set(fields) - set(RECIPE)
        assert not unknown, f"The preset {name!r} sets {unknown}, which is no parameter."
        taken = {k for k in table if k != "frame" and fields.get(k) is not None}
        hidden = {k for k in taken if type(architecture)().get_params(deep=False)[k] is not None}
        assert not hidden, f"The preset {name!r} sets {hidden}, whose default is not None."
        with torch.device("meta"):  # some are large
            written = type(architecture).from_preset(name).build(in_shape, N_OUTPUTS)
            if "preset" not in fields:
                continue
            named = type(architecture)().set_params(preset=name).build(in_shape, N_OUTPUTS)
        assert _shapes(written) == _shapes(named), f"from_preset({name!r}) builds another one."


def check_architecture_gives_outputs(build: Build, in_shape: tuple[int, ...]) -> None:
    """Check that outputs have the shape that they should, whatever the other samples are.

    See Also
    --------
    parametrize_architectures : All checks of architectures as tests.

    Examples
    --------
    >>> from sklstruct.testing import check_architecture_gives_outputs
    >>> from sklstruct_rfnn.architecture import RFNN
    >>> check_architecture_gives_outputs(RFNN(widths=(4,)).build, in_shape=(1, 8, 8))
    """
    x = _samples(4, in_shape)
    places = in_shape[1:] if getattr(_architecture(build), "dense", False) else ()
    for n_outputs in (1, N_OUTPUTS):
        network = build(in_shape, n_outputs).eval()
        outputs = main_output(network(x))
        wanted = 4, n_outputs, *places
        assert outputs.shape == wanted, f"Outputs have shape {outputs.shape}, wanted {wanted}."
        _assert_same(main_output(network(x[:1])), outputs[:1])


def check_architecture_has_features(build: Build, in_shape: tuple[int, ...]) -> None:
    """Check that ``features`` is there, and is what the head reads.

    See Also
    --------
    parametrize_architectures : All checks of architectures as tests.

    Examples
    --------
    >>> from sklstruct.testing import check_architecture_has_features
    >>> from sklstruct_rfnn.architecture import RFNN
    >>> check_architecture_has_features(RFNN(widths=(4,)).build, in_shape=(1, 8, 8))
    """
    network, x = build(in_shape, N_OUTPUTS).eval(), _samples(4, in_shape)
    assert hasattr(network, "features"), "The network must have features(x), what its head reads."
    assert dict(network.named_children()), "The network must have layers with names."
    features = network.features(x)
    assert len(features) == len(x), f"features gives {len(features)} for {len(x)} samples."
    if hasattr(network, "head"):
        _assert_same(network.head(features), main_output(network(x)))


def check_architecture_keeps_its_word(build: Build, in_shape: tuple[int, ...]) -> None:
    """Check ``class_activations``, ``inverse`` and ``loss``, where a network has them.

    See Also
    --------
    parametrize_architectures : All checks of architectures as tests.

    Examples
    --------
    >>> from sklstruct.testing import check_architecture_keeps_its_word
    >>> from sklstruct_rfnn.architecture import RFNN
    >>> check_architecture_keeps_its_word(RFNN(widths=(4,)).build, in_shape=(1, 8, 8))
    """
    network, x = build(in_shape, N_OUTPUTS).eval(), _samples(4, in_shape)
    if hasattr(network, "class_activations"):
        means, outputs = network.class_activations(x).flatten(2).mean(2), main_output(network(x))
        _assert_same(means + (outputs[0] - means[0]), outputs)
    if hasattr(network, "inverse"):
        _assert_same(network.inverse(network.features(x)), x)
    if hasattr(network, "loss"):
        losses = network.loss(x, torch.arange(len(x)) % N_OUTPUTS)
        assert losses.shape == (len(x),), f"loss has shape {tuple(losses.shape)}, wanted (4,)."


def check_architecture_follows_dtype(build: Build, in_shape: tuple[int, ...]) -> None:
    """Check that a network that is cast to float64 computes in float64.

    See Also
    --------
    parametrize_architectures : All checks of architectures as tests.

    Examples
    --------
    >>> from sklstruct.testing import check_architecture_follows_dtype
    >>> from sklstruct_rfnn.architecture import RFNN
    >>> check_architecture_follows_dtype(RFNN(widths=(4,)).build, in_shape=(1, 8, 8))
    """
    network = build(in_shape, N_OUTPUTS).double().eval()
    assert main_output(network(_samples(2, in_shape).double())).dtype == torch.float64


def check_architecture_learns_everywhere(build: Build, in_shape: tuple[int, ...]) -> None:
    """Check that every parameter gets a gradient, and that all are finite.

    See Also
    --------
    parametrize_architectures : All checks of architectures as tests.

    Examples
    --------
    >>> from sklstruct.testing import check_architecture_learns_everywhere
    >>> from sklstruct_rfnn.architecture import RFNN
    >>> check_architecture_learns_everywhere(RFNN(widths=(4,)).build, in_shape=(1, 8, 8))
    """
    network = build(in_shape, N_OUTPUTS).train()
    outputs = network(_samples(8, in_shape))
    outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    sum(out.square().sum() for out in outputs).backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} gets no gradient."
            assert torch.isfinite(parameter.grad).all(), f"{name} gets a gradient of nan or inf."


def check_architecture_is_seeded(build: Build, in_shape: tuple[int, ...]) -> None:
    """Check that the seed of torch alone decides the parameters.

    See Also
    --------
    parametrize_architectures : All checks of architectures as tests.

    Examples
    --------
    >>> from sklstruct.testing import check_architecture_is_seeded
    >>> from sklstruct_rfnn.architecture import RFNN
    >>> check_architecture_is_seeded(RFNN(widths=(4,)).build, in_shape=(1, 8, 8))
    """
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        states.append(build(in_shape, N_OUTPUTS).state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), f"{name} differs for equal seeds."


def check_architecture_is_kept(build: Build, in_shape: tuple[int, ...]) -> None:
    """Check that a pickled copy, and a new network given the state, have the same outputs.

    See Also
    --------
    parametrize_architectures : All checks of architectures as tests.

    Examples
    --------
    >>> from sklstruct.testing import check_architecture_is_kept
    >>> from sklstruct_rfnn.architecture import RFNN
    >>> check_architecture_is_kept(RFNN(widths=(4,)).build, in_shape=(1, 8, 8))
    """
    network, x = build(in_shape, N_OUTPUTS).train(), _samples(4, in_shape)
    network(x)  # so that running statistics are not those of a new network
    loaded = build(in_shape, N_OUTPUTS)
    loaded.load_state_dict(network.state_dict())
    expected = main_output(network.eval()(x))
    for twin in (loaded, pickle.loads(pickle.dumps(network))):
        assert torch.equal(main_output(twin.eval()(x)), expected)


def check_architecture_becomes_dense(build: Build, in_shape: tuple[int, ...]) -> None:
    """Check that ``to_dense`` leaves no ``FrameConv`` but in blocks that steer it, and the outputs.

    See Also
    --------
    parametrize_architectures : All checks of architectures as tests.

    Examples
    --------
    >>> from sklstruct.testing import check_architecture_becomes_dense
    >>> from sklstruct_rfnn.architecture import RFNN
    >>> check_architecture_becomes_dense(RFNN(widths=(4,)).build, in_shape=(1, 8, 8))
    """
    network, x = build(in_shape, N_OUTPUTS).eval(), _samples(4, in_shape)
    dense = to_dense(network)
    steered = [part for part in dense.modules() if isinstance(part, DynamicSteerableBlock)]
    kept = {part for block in steered for part in block.modules()}  # no kernel is there for all
    assert not any(isinstance(part, FrameConv) for part in {*dense.modules()} - kept)
    _assert_same(main_output(dense(x)), main_output(network(x)))


ARCHITECTURE_CHECKS = (
    check_architecture_is_data,
    check_architecture_presets,
    check_architecture_gives_outputs,
    check_architecture_has_features,
    check_architecture_keeps_its_word,
    check_architecture_follows_dtype,
    check_architecture_learns_everywhere,
    check_architecture_is_seeded,
    check_architecture_is_kept,
    check_architecture_becomes_dense,
)


def _architecture(build: Build) -> Architecture | None:
    """Return the architecture that a method builds, None for a function."""
    owner = getattr(build, "__self__", None)
    return owner if isinstance(owner, Architecture) else None


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in network.state_dict().items()}


# --- reversible layers ----------------------------------------------------------------------


def check_reversible(layer: Reversible, x: Tensor) -> None:
    """Check that a reversible layer goes back to its input, and takes gradients back as well.

    Parameters
    ----------
    layer : Reversible
        In training or in evaluation.
    x : Tensor, shape (n, ...)
        In double precision, where rounding cannot pass for a mistake.

    Raises
    ------
    ValueError
        If x is not in double precision.
    AssertionError
        If the inverse is none, in evaluation or, for layers that draw nothing, in training, if it
        changes buffers or what it is given, or if gradients that a chain computes by it are not
        those of autograd.

    See Also
    --------
    sklstruct.layers.Reversible

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import SpaceToChannels
    >>> from sklstruct.testing import check_reversible
    >>> check_reversible(SpaceToChannels(2), torch.rand(2, 3, 4, 6, dtype=torch.float64))
    """
    if x.dtype != torch.float64:
        raise ValueError(f"x must be in double precision, got {x.dtype}.")
    found = []
    for store_activations in (True, False):
        chain = ReversibleSequential(copy.deepcopy(layer), store_activations=store_activations)
        chain.double()
        leaf = x.clone().requires_grad_()
        torch.manual_seed(0)
        y = chain(leaf)
        weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
        (y * weights).sum().backward()
        gradients = {f"The gradient for {name}": p.grad for name, p in chain.named_parameters()}
        buffers = {f"The buffer {name}": buffer for name, buffer in chain.named_buffers()}
        found.append({"The gradient for x": leaf.grad, **gradients, **buffers})
    stored, recomputed = found
    for name, wanted in stored.items():
        seen = recomputed[name]
        assert (seen is None) == (wanted is None), f"{name} is there in one way only."
        if seen is not None and wanted is not None:
            off = float((seen - wanted).abs().max())
            assert off <= 1e-10 * (1 + float(wanted.abs().max())), (
                f"{name} is not that of autograd, but {off:.1e} away."
            )
    chain.requires_grad_(False)
    for training in (True, False):
        chain.train(training)
        y, again = chain(x), chain(x)
        if training and not torch.equal(y, again):
            continue  # something is drawn, or statistics are used while they change
        before, given = copy.deepcopy(chain.state_dict()), y.clone()
        off = float((chain.inverse(y) - x).abs().max())
        assert off <= 1e-10 * (1 + float(x.abs().max())), (
            f"The inverse is {off:.1e} away from the input, with training={training}."
        )
        assert torch.equal(y, given), "The inverse changes what it is given."
        for name, value in chain.state_dict().items():
            assert torch.equal(value, before[name]), f"The inverse changes {name}."


# --- what they share ------------------------------------------------------------------------


def _parametrize(
    arguments: str,
    checks: Iterable[Check],
    subjects: Iterable[tuple[str, Any]],
    cases: Sequence[Any],
    attempt: Callable[[Any, Any], Any],
) -> Any:
    import pytest

    params = [
        pytest.param(
            _unless_refused(check, attempt, cases),
            subject,
            case,
            id=f"{label}-{case}-{check.__name__.removeprefix('check_')}",
        )
        for (label, subject), case, check in product(subjects, cases, checks)
    ]
    return pytest.mark.parametrize(f"check, {arguments}", params)


def _unless_refused(
    check: Check, attempt: Callable[[Any, Any], Any], cases: Sequence[Any]
) -> Check:
    """Return the check, skipped for a case that is refused while another is accepted."""
    import pytest

    def refusal(subject: Any, case: Any) -> str | None:
        try:
            attempt(subject, case)
        except ValueError as error:
            return f"refused: {error}"
        return None

    @wraps(check)
    def run(subject: Any, case: Any) -> None:
        reason = refusal(subject, case)
        if reason and not all(refusal(subject, other) for other in cases):
            pytest.skip(reason)
        check(subject, case)

    return run


def _label(subject: Any) -> str:
    return (
        subject
        if isinstance(subject, str)
        else getattr(subject, "__name__", type(subject).__name__)
    )


def _noise(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=shape)


def _samples(n: int, in_shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(_noise(n, *in_shape)).float()


def _assert_same(seen: Tensor, wanted: Tensor) -> None:
    """Raise AssertionError unless outputs agree in single precision."""
    atol = 1e-5 * max(1.0, float(wanted.detach().abs().max()))
    torch.testing.assert_close(seen, wanted, rtol=0, atol=atol)


@contextmanager
def _double_precision() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
