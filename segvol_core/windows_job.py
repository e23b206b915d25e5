"""A job object of Windows: processes that end together, also when the one that made it is killed.

The facts are Microsoft's: https://learn.microsoft.com/windows/win32/procthread/job-objects. A job
with ``JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE`` ends its processes when its last handle is closed, which
Windows does when the process that holds it ends in whatever way.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _KILL_ON_JOB_CLOSE = 0x2000
    _EXTENDED_LIMIT_INFORMATION = 9

    class _BasicLimits(ctypes.Structure):
        _fields_ = (
            ("PerProcessUserTimeLimit", wintypes.LARGE_INTEGER),
            ("PerJobUserTimeLimit", wintypes.LARGE_INTEGER),
            ("LimitFlags", wintypes.DWORD),
            ("MinimumWorkingSetSize", ctypes.c_size_t),
            ("MaximumWorkingSetSize", ctypes.c_size_t),
            ("ActiveProcessLimit", wintypes.DWORD),
            ("Affinity", ctypes.c_size_t),
            ("PriorityClass", wintypes.DWORD),
            ("SchedulingClass", wintypes.DWORD),
        )

    class _ExtendedLimits(ctypes.Structure):
        _fields_ = (
            ("BasicLimitInformation", _BasicLimits),
            ("IoInfo", ctypes.c_uint64 * 6),
            ("ProcessMemoryLimit", ctypes.c_size_t),
            ("JobMemoryLimit", ctypes.c_size_t),
            ("PeakProcessMemoryUsed", ctypes.c_size_t),
            ("PeakJobMemoryUsed", ctypes.c_size_t),
        )

    class WindowsJob:
        """One job, and the processes that were put into it with everything they start."""

        def __init__(self) -> None:
            self._kernel = ctypes.WinDLL("kernel32", use_last_error=True)
            # Without these, a handle is cut to 32 bits.
            self._kernel.CreateJobObjectW.restype = wintypes.HANDLE
            self._kernel.CreateJobObjectW.argtypes = (ctypes.c_void_p, wintypes.LPCWSTR)
            self._kernel.SetInformationJobObject.argtypes = (
                wintypes.HANDLE,
                ctypes.c_int,
                ctypes.c_void_p,
                wintypes.DWORD,
            )
            self._kernel.OpenProcess.restype = wintypes.HANDLE
            self._kernel.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
            self._kernel.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
            self._kernel.TerminateJobObject.argtypes = (wintypes.HANDLE, wintypes.UINT)
            self._kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
            self._job = self._check(self._kernel.CreateJobObjectW(None, None))
            limits = _ExtendedLimits()
            limits.BasicLimitInformation.LimitFlags = _KILL_ON_JOB_CLOSE
            self._check(
                self._kernel.SetInformationJobObject(
                    self._job,
                    _EXTENDED_LIMIT_INFORMATION,
                    ctypes.byref(limits),
                    ctypes.sizeof(limits),
                )
            )

        def add(self, pid: int) -> None:
            """Put a process into the job; what it starts from now on is in it too.

            Raises
            ------
            OSError
                If Windows refuses, as it does where the process is in a job that forbids it.
            """
            set_quota, terminate = 0x0100, 0x0001
            process = self._check(self._kernel.OpenProcess(set_quota | terminate, False, pid))
            try:
                self._check(self._kernel.AssignProcessToJobObject(self._job, process))
            finally:
                self._kernel.CloseHandle(process)

        def end(self) -> None:
            """End every process of the job, and the job."""
            if self._job:
                self._kernel.TerminateJobObject(self._job, 1)
                self._kernel.CloseHandle(self._job)
                self._job = 0

        @staticmethod
        def _check(result: int | None) -> int:
            if not result:
                raise ctypes.WinError(ctypes.get_last_error())
            return result
