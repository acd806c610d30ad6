"""What a result was made with."""

import platform
from datetime import UTC, datetime
from importlib import metadata

_PACKAGES = ("attnflow", "jax", "jaxlib", "diffrax", "equinox", "numpy", "scipy", "sympy", "xarray")


def provenance(*, more: tuple[str, ...] = ()) -> dict[str, str]:
    """What a result was made with: versions of the packages that compute it, Python, platform, time (UTC).

    `more` names further packages.

    Versions come from the installed metadata, so nothing is imported.
    """
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in (*_PACKAGES, *more)},
        "platform": platform.platform(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
