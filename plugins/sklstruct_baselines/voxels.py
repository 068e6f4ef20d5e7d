"""VoxelSVC: the linear support vector machine on voxels that networks have to beat."""

from __future__ import annotations

from dataclasses import dataclass

from .images import ImageSVC


@dataclass(kw_only=True, eq=False, repr=False)
class VoxelSVC(ImageSVC):
    r"""Linear support vector machine on smoothed voxels.

    Voxels are smoothed, centred and divided by their deviation over the training samples; the
    machines of all pairs of classes are linear in them,

    .. math::
        m_{ij}(x) = b_{ij} + \langle w_{ij}, x \rangle,

    and the decision value of a class is its smallest margin over any other one.  The penalty C
    is that of least log loss on samples held out, on which the temperature of the probabilities
    :math:`\mathrm{softmax}(f(x) / T)` is found too.  Everything is done on the inner products of
    the samples, so that hundreds of volumes of any size are a matter of seconds; for more than
    some thousand samples, that matrix becomes large.

    Identical samples of a class count as one with their summed weights.  Mean and deviation of
    the voxels are those of all training samples, held out or not; no label enters them.

    Parameters
    ----------
    C : float, default=None
        Penalty of the margin violations, for a sample of weight 1, where the mean squared norm
        of what the machine sees is 1; None chooses a power of ten from 0.01 to 100.
    {image_parameters}

    Attributes
    ----------
    {image_attributes}

    References
    ----------
    C. Cortes and V. Vapnik. Support-vector networks. Machine Learning, 1995.
    S. Klöppel et al. Automatic classification of MR scans in Alzheimer's disease. Brain, 2008.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import VoxelSVC
    >>> X, y = load_digits(return_X_y=True)
    >>> model = VoxelSVC(smoothing=None, standardize=False).fit(X[:200], y[:200])
    >>> model.score(X[200:], y[200:]) > 0.8
    True
    """
