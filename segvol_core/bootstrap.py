"""Start a module of this very segvol_core, with the private packages before all others.

Run by its path in a Python of the user's choice:
``python bootstrap.py [--end-with-input] PACKAGES MODULE ARGUMENTS``, where PACKAGES is the private
folder, or ``-`` for none. Not by an environment variable, because PythonSlicer's launcher sets
PYTHONPATH anew. It must stay readable for any Python 3.

With ``--end-with-input`` it ends its process group as soon as its input ends, that is, when the
process that started it is gone, from the first moment on and whatever the module is busy with. Not
on Windows, where a thread that reads from a pipe can block others that only look at it; there the
job object does it (`windows_job`).
"""

import sys

REFUSED = 64
"""Exit code when the last line of the output is the sentence for the user."""


def main() -> None:
    """Put the paths in order, load segvol_core from where this file is, and run the module."""
    if sys.version_info < (3, 10):  # noqa: UP036 - the chosen Python can be any
        sys.stderr.write(
            "SegVol needs Python 3.10 or newer; %s is Python %d.%d.\n"  # noqa: UP031
            % (sys.executable, sys.version_info[0], sys.version_info[1])
        )
        sys.exit(REFUSED)

    import importlib.util  # noqa: PLC0415
    import os  # noqa: PLC0415
    import runpy  # noqa: PLC0415
    import threading  # noqa: PLC0415

    # The folder of a script is put on the path, and this one's modules would hide others.
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    paths = [path for path in sys.path if path and os.path.abspath(path) != here]  # noqa: PTH100
    if sys.argv[1] == "--end-with-input":
        del sys.argv[1]
        if os.name == "posix":
            threading.Thread(target=end_with_input, daemon=True).start()
    packages, module = sys.argv[1:3]
    if packages != "-":
        paths.insert(0, packages)
    # Last, so that the modules beside segvol_core in Slicer's folder hide nothing.
    sys.path[:] = [*paths, os.path.dirname(here)]  # noqa: PTH120

    # Loaded by its place: whichever other segvol_core is on the path, client and server are one.
    spec = importlib.util.spec_from_file_location(
        "segvol_core",
        os.path.join(here, "__init__.py"),  # noqa: PTH118
        submodule_search_locations=[here],
    )
    if spec is None or spec.loader is None:
        raise ImportError(here)
    package = importlib.util.module_from_spec(spec)
    sys.modules["segvol_core"] = package
    spec.loader.exec_module(package)

    del sys.argv[1:3]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def end_with_input() -> None:
    """Wait for the end of the input, and then end this process group."""
    import os  # noqa: PLC0415
    import signal  # noqa: PLC0415

    while os.read(0, 1):
        pass
    if sys.platform != "win32":
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
