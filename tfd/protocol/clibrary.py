"""Functions of shared libraries that no package declares, by the module that PyNaCl's own calls go through.

`_cffi_backend` is what cffi's ABI mode calls at run time (cffi.readthedocs.io, "Overview"); cffi itself, with
its parser of C, is not needed.
"""

from typing import Any, Final

import _cffi_backend as backend

INT: Final = backend.new_primitive_type("int")
SIZE: Final = backend.new_primitive_type("unsigned long long")
BYTES: Final = backend.new_pointer_type(backend.new_primitive_type("unsigned char"))
TEXT: Final = backend.new_pointer_type(backend.new_primitive_type("char"))
NOTHING: Final = backend.new_void_type()
ADDRESS: Final = backend.new_pointer_type(NOTHING)
INT_RESULT: Final = backend.new_pointer_type(INT)
SIZE_RESULT: Final = backend.new_pointer_type(SIZE)


class Library:
    """A shared library, looked for as dlopen(3) does. Raises OSError where there is none of that name.

    It stays loaded: its functions outlive this object.
    """

    def __init__(self, name: str) -> None:
        self._library = backend.load_library(name, backend.RTLD_NOW | backend.RTLD_NODELETE)

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        """Give a function of the library or of what it is linked to. Raises AttributeError.

        The types are believed: a wrong one reads or writes any memory.
        """
        return self._library.load_function(backend.new_function_type(arguments, result, False), name)
