r"""Write the reference numbers that the tests of solid harmonics read, with Kymatio.

Kymatio 0.3.0 needs an older SciPy than we do, so this runs in an environment of its own:

    python -m venv kymatio-env
    kymatio-env/bin/pip install kymatio==0.3.0 scipy==1.16.3 numpy==2.4.6
    NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL AVX512_SPR" \
        kymatio-env/bin/python benchmarks/kymatio_reference_3d.py tests/data/harmonic_reference.npz

Kymatio rounds its wavelets to single precision by routines of NumPy that differ by processor; the
variable takes those that there are for any.

Volumes are rounded to single precision, so that they are the same in both; coefficients are
computed in double precision.  Kymatio would round the integrals at last; they are kept as they
are.  Extents are even, for Kymatio's wavelets are displaced in Fourier where they are odd.
"""

import os
import sys
import warnings

import numpy as np

warnings.simplefilter("ignore")  # Kymatio's imports are full of them

from kymatio.numpy import HarmonicScattering3D  # noqa: E402
from kymatio.scattering3d import filter_bank  # noqa: E402
from kymatio.scattering3d.backend.numpy_backend import NumpyBackend3D  # noqa: E402
from scipy.special import sph_harm_y  # noqa: E402

CASES = [
    ((16, 12, 8), {"J": 2, "L": 4}),
    ((8, 8, 8), {"J": 3, "L": 2, "sigma_0": 0.8, "integral_powers": (0.5, 1.0, 2.0, 3.0)}),
    ((12, 8, 10), {"J": 1, "L": 3, "rotation_covariant": False}),
    ((8, 10, 14), {"J": 2, "L": 3, "max_order": 1, "sigma_0": 1.5}),
]


def integrals(moduli, powers):
    return np.stack([(moduli**q).reshape(len(moduli), -1).sum(1) for q in powers], axis=-1)


def spherical_harmonic(m, degree, azimuth, polar):  # the same, without a warning a voxel
    return sph_harm_y(degree, m, polar.astype(float), azimuth.astype(float))


def main():
    NumpyBackend3D.compute_integrals = staticmethod(integrals)
    filter_bank.sph_harm = spherical_harmonic
    rng = np.random.default_rng(0)
    arrays = {}
    for shape, parameters in CASES:
        x = rng.normal(size=(2, *shape)).astype(np.float32)
        transform = HarmonicScattering3D(shape=shape, **parameters)
        name = ",".join(f"{key}={value}" for key, value in {"shape": shape, **parameters}.items())
        arrays[f"signal {name}"] = x
        arrays[f"coefficients {name}"] = transform(x.astype(np.float64))
    unfinished = f"{sys.argv[1]}.{os.getpid()}.npz"
    np.savez_compressed(unfinished, **arrays)
    os.replace(unfinished, sys.argv[1])


if __name__ == "__main__":
    main()
