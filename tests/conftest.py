"""One thread, no display, no data of this machine, and the same examples every time."""

import os

import pytest
from hypothesis import settings

os.environ.update(OMP_NUM_THREADS="1", MPLBACKEND="Agg")  # before torch or matplotlib comes in
for name in [name for name in os.environ if name.startswith("SKLSTRUCT_")]:
    del os.environ[name]

pytest.register_assert_rewrite("sklstruct.testing")
settings.register_profile("suite", max_examples=20, deadline=None, derandomize=True, database=None)
settings.load_profile("suite")
