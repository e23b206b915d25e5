"""The sample CT in Slicer's module Sample Data: offered once, and told of when it cannot be had."""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import slicer
import slicer.util


class Progress:
    """Slicer's progress dialog; `cancels_after` polls the user has had enough."""

    def __init__(self, cancels_after=None):
        self.cancels_after = cancels_after
        self.polls = 0
        self.closed = False

    @property
    def wasCanceled(self):  # noqa: N802 - Qt's name
        self.polls += 1
        return self.cancels_after is not None and self.polls > self.cancels_after

    def close(self):
        self.closed = True


@pytest.fixture
def sample_data(application, tmp_path, monkeypatch):
    """Our module, in an application with a cache folder, and with nothing to fetch from."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setattr(application, "cachePath", str(tmp_path / "cache"), raising=False)
    return importlib.import_module("SegVolExtension.sample_data")


@pytest.fixture
def told(monkeypatch):
    """What the user is told in dialogs."""
    sentences = []
    monkeypatch.setattr(slicer.util, "errorDisplay", sentences.append, raising=False)
    return sentences


def show(monkeypatch, progress):
    monkeypatch.setattr(
        slicer.util, "createProgressDialog", lambda **_options: progress, raising=False
    )


def test_the_sample_is_offered_in_sample_data(sample_data, monkeypatch):
    offered = []
    module = ModuleType("SampleData")
    module.SampleDataLogic = SimpleNamespace(
        registerCustomSampleDataSource=lambda **source: offered.append(source)
    )
    sample_data.register_sample_data()  # this Slicer has no such module
    assert not offered
    monkeypatch.setitem(sys.modules, "SampleData", module)
    sample_data.register_sample_data()
    (source,) = offered
    assert source["customDownloader"] is sample_data.load_sample
    assert Path(source["thumbnailFileName"]).read_bytes().startswith(b"\x89PNG")


def test_offline_the_user_is_told_what_to_do_and_slicer_goes_on(sample_data, told, monkeypatch):
    progress = Progress()
    show(monkeypatch, progress)
    assert sample_data.load_sample() == []
    assert "could not be downloaded" in told[0]
    assert progress.closed


def test_the_user_can_cancel_the_download(sample_data, told, monkeypatch, tmp_path):
    progress = Progress(cancels_after=1)
    show(monkeypatch, progress)
    assert sample_data.load_sample() == []
    assert not told
    assert progress.closed
    assert not list(tmp_path.rglob("*.nii.gz"))
