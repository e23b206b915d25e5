"""A folder of made CTs with an index.json, for tests of training."""

from pathlib import Path

import pytest
from index_folder import write_index_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CTs of a body with two organs, one labelled and one not, in two orientations."""
    return write_index_folder(tmp_path_factory.mktemp("cts"))
