"""Decorators for parts of kernels, which are called by kernels only, never from Python.

Numba optimises every function that another one calls, and makes machine code of it, before it
optimises the caller with all it calls once more: of a kernel of many parts most of the time goes
into code that nothing runs. Parts are left as they were lowered; what they become is decided
where they are called, once.

It also counts the references of every array that a function touches; with dozens of arrays in
small functions that takes most of the time at run time. Where nothing is allocated there is
nothing to count: the caller holds all arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import _dynfunc, njit
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, CompileResult


class _PartLibrary(JITCodeLibrary):
    """Code to be linked into that of callers."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class PartCompiler(Compiler):
    """Numba's compiler, but for the steps after lowering."""

    def compile_extra(self, func: Callable[..., Any]) -> CompileResult:
        """Type and lower `func`, and tell numba where callers find its code."""
        state = self.state
        state.library = _PartLibrary(state.targetctx.codegen(), func.__qualname__)
        state.flags.no_compile = True
        made: CompileResult = super().compile_extra(func)
        # What numba knows a compiled function by; it has no code that Python could call.
        entry = _dynfunc.make_function(
            made.fndesc.lookup_module(), func.__name__, func.__doc__ or "", 0, made.environment,
            (made.library,),
        )  # fmt: skip
        state.targetctx.insert_user_function(entry, made.fndesc, [made.library])
        return made._replace(entry_point=entry)


njit_part = njit(
    _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy",
    pipeline_class=PartCompiler,
)  # fmt: skip
"""A part that allocates nothing; LLVM decides where it goes into its caller's code."""
inlined_part = njit(
    _nrt=False, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True,
    error_model="numpy", pipeline_class=PartCompiler,
)  # fmt: skip
"""The same, always put into its caller's code."""
