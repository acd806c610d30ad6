"""The compilation cache: what JAX compiled once is loaded by the next process.

Observed: tests/cli/test_cache.py.
"""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$ATTNFLOW_CACHE, or the folder `attnflow` in $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("ATTNFLOW_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "attnflow"


def enable_cache() -> Path | None:
    """Turn the cache on, before anything is compiled: its folder, or None when that cannot be written.

    A cache that the user configured (JAX_COMPILATION_CACHE_DIR) is left as it is.
    """
    # A program with host callbacks is not cached, and Equinox's run-time checks are such; read at its import.
    os.environ.setdefault("EQX_ON_ERROR", "nan")
    import jax

    if (chosen := cache_in_use()) is not None:
        return chosen
    folder = cache_folder()
    if not _usable(folder):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def cache_in_use() -> Path | None:
    """The folder that JAX uses now."""
    import jax

    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    return Path(folder) if folder else None


def _usable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
