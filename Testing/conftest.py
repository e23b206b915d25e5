"""Options of the whole test run."""


def pytest_addoption(parser):
    parser.addoption(
        "--sequences",
        type=int,
        default=15,
        help="how many random sequences of actions to try on the scene (the bar is 200)",
    )
