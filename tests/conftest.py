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


@pytest.fixture
def run(capsys):
    """Return a function that runs a command and returns its status and what it prints."""

    def run(*arguments):
        from sklstruct import cli  # not before the environment is set

        status = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def succeed(run):
    """Return a function that runs a command which must succeed, and returns its output."""

    def succeed(*arguments):
        status, out, err = run(*arguments)
        assert status == 0, err
        return out

    return succeed
