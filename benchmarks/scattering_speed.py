"""Time scattering against Kymatio's torch back end, and compare the memory that both take.

Kymatio lives in an environment of its own (see kymatio_reference.py), whose Python is the
argument.  Every measurement runs in a fresh process with a given number of threads; the two
packages take turns.  Both columns are medians over the turns of the fastest call in each.

    python scattering_speed.py ../kymatio-env/bin/python
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from statistics import median

CASES = [  # batch, channels, extent, J, L
    (128, 1, 28, 2, 6),
    (128, 1, 28, 2, 8),
    (1, 1, 28, 2, 8),
    (128, 3, 32, 2, 8),
    (32, 1, 64, 3, 8),
    (16, 1, 256, 3, 8),
    (4, 1, 256, 3, 8),
    (1, 1, 256, 3, 8),
    (16, 1, 256, 4, 8),
]
BACKENDS = ("kymatio", "sklstruct", "torch")  # the last is ours without the compiled kernel


def worker(backend, threads, batch, channels, extent, J, L):
    """Print the seconds of the fastest call and the megabytes that calls added."""
    warnings.simplefilter("ignore")  # Kymatio's imports are full of them
    import torch

    torch.set_num_threads(threads)
    shape = (extent, extent)
    if backend == "kymatio":
        from kymatio.torch import Scattering2D

        transform = Scattering2D(J, shape, L=L)
    else:
        from sklstruct import Scattering

        transform = Scattering(J=J, L=L, shape=shape)
        if backend == "torch":
            transform.plan = None
    x = torch.randn(batch, channels, *shape, generator=torch.Generator().manual_seed(0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.no_grad():
        times, start = [], time.perf_counter()
        while len(times) < 3 or time.perf_counter() - start < 1:
            begin = time.perf_counter()
            transform(x)
            times.append(time.perf_counter() - begin)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([min(times), (after - before) / 1024]))


def measure(kymatio, backend, threads, case):
    """Return seconds and megabytes of one process."""
    python = kymatio if backend == "kymatio" else sys.executable
    words = [python, __file__, "--worker", backend, threads, *case]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    result = subprocess.run(
        [str(word) for word in words], env=environment, check=True, capture_output=True, text=True
    )
    return json.loads(result.stdout.splitlines()[-1])


def main():
    from common import append_csv

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kymatio", help="the Python of an environment with Kymatio")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    for threads in args.threads:
        for case in CASES:
            turns = [
                {name: measure(args.kymatio, name, threads, case) for name in BACKENDS}
                for _ in range(args.turns)
            ]
            seconds = {name: median(turn[name][0] for turn in turns) for name in BACKENDS}
            memory = {name: median(turn[name][1] for turn in turns) for name in BACKENDS}
            batch, channels, extent, J, L = case
            append_csv(
                "scattering_speed.csv",
                {
                    "shape": f"{batch}x{channels}x{extent}x{extent}",
                    "J": J,
                    "L": L,
                    "threads": threads,
                    **{f"{name}_ms": 1e3 * seconds[name] for name in BACKENDS},
                    "times_faster": seconds["kymatio"] / seconds["sklstruct"],
                    "torch_times_faster": seconds["kymatio"] / seconds["torch"],
                    **{f"{name}_mb": memory[name] for name in BACKENDS},
                },
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main()
