"""Options of the whole test run."""

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
