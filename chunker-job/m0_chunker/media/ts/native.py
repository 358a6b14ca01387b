"""`transport.c` from Python."""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

LIBRARY = Path(__file__).with_name("transport.so")


class Buffer(ctypes.Structure):
    """`struct buffer`: bytes that are the library's."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
    )

    def take(self) -> bytes:
        """A copy of what is in it now."""
        return ctypes.string_at(self.data, self.size) if self.size else b""


class Found(ctypes.Structure):
    """`struct found`."""

    _fields_ = tuple((name, Buffer) for name in ("payloads", "sizes", "pts", "dts", "keys"))


_HANDLE = ctypes.c_void_p
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "open": (_HANDLE, (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
    "read": (ctypes.c_char_p, (_HANDLE, ctypes.c_char_p, ctypes.c_size_t)),
    "end": (ctypes.c_char_p, (_HANDLE,)),
    "order": (ctypes.POINTER(Buffer), (_HANDLE,)),
    "sizes": (ctypes.POINTER(Buffer), (_HANDLE,)),
    "found": (ctypes.POINTER(Found), (_HANDLE, ctypes.c_int)),
    "close": (None, (_HANDLE,)),
}
"""Of each function, what it gives and what it takes."""


@cache
def library() -> Any | None:
    """The functions, `m0_transport_…`; None: they were not compiled."""
    try:
        functions = ctypes.CDLL(str(LIBRARY))
    except OSError:
        return None
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(functions, f"m0_transport_{name}")  # by index: another each time
        function.restype, function.argtypes = result, arguments
    return functions
