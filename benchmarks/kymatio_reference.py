"""Write the reference numbers that the tests of scattering read, with Kymatio.

Kymatio 0.3.0 needs an older SciPy than we do, so this runs in an environment of its own:

    python -m venv kymatio-env
    kymatio-env/bin/pip install kymatio==0.3.0 scipy==1.16.3 numpy==2.4.6
    kymatio-env/bin/python benchmarks/kymatio_reference.py tests/data/kymatio_reference.npz

Signals are rounded to single precision, so that they are the same in both; coefficients are
computed in double precision.
"""

import os
import sys
import warnings

import numpy as np

warnings.simplefilter("ignore")  # Kymatio's imports are full of them

from kymatio.numpy import Scattering1D, Scattering2D  # noqa: E402

PLANE = [  # shape, J, L, max_order
    ((28, 28), 2, 8, 2),
    ((28, 28), 2, 6, 2),
    ((21, 34), 2, 3, 2),
    ((8, 8), 3, 4, 2),
    ((16, 12), 2, 5, 1),
    ((32, 32), 4, 2, 2),
]
LINE = [  # length, J, Q, T, max_order
    (128, 4, 1, None, 2),
    (200, 5, 8, None, 2),
    (256, 5, (4, 2), 16, 2),
    (250, 4, (3, 1), 50, 2),
    (128, 4, 8, None, 1),
]


def main():
    rng = np.random.default_rng(0)
    arrays = {}
    for shape, J, L, max_order in PLANE:
        x = rng.normal(size=(1, *shape)).astype(np.float32)
        transform = Scattering2D(J, shape, L=L, max_order=max_order)
        name = f"J={J},L={L},shape={shape},max_order={max_order}"
        arrays[f"signal {name}"] = x
        arrays[f"coefficients {name}"] = transform(x.astype(np.float64))
    for length, J, Q, T, max_order in LINE:
        x = rng.normal(size=(1, length)).astype(np.float32)
        transform = Scattering1D(J, length, Q=Q, T=T, max_order=max_order)
        name = f"J={J},Q={Q},T={T},shape={(length,)},max_order={max_order}"
        arrays[f"signal {name}"] = x
        arrays[f"coefficients {name}"] = transform(x.astype(np.float64))
    unfinished = f"{sys.argv[1]}.{os.getpid()}.npz"
    np.savez_compressed(unfinished, **arrays)
    os.replace(unfinished, sys.argv[1])


if __name__ == "__main__":
    main()
