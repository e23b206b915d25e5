"""Options of the whole test run, and the one scene of all its tests."""

from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more of what else the machine does than of what is tested.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser):
    parser.addoption(
        "--sequences",
        type=int,
        default=15,
        help="how many random sequences of actions to try on the scene (the bar is 200)",
    )


@pytest.fixture(scope="session")
def mrml(tmp_path_factory):
    """Slicer's scene: one for all tests of a process, as there is one in a Slicer."""
    from mrml_application import MrmlApplication  # noqa: PLC0415  # The core's tests need no Slicer.

    return MrmlApplication(Path(tmp_path_factory.mktemp("slicer")))
