"""Files of packages of Debian, PyPI and npm, fetched by their ordinary clients into a folder outside the repository."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def debian(cache: Path, package: str) -> Path:
    """The unpacked package; it is fetched at the first call alone, as with the others."""

    def fetch(folder: Path) -> None:
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
        for archive in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=True)
            archive.unlink()

    return _kept(cache / "debian" / package, fetch)


def pypi(cache: Path, package: str, *, source: bool = False) -> Path:
    """The unpacked wheel, or the source archive, which may hold more."""

    def fetch(folder: Path) -> None:
        which = ["--no-binary", ":all:", "--no-build-isolation"] if source else ["--only-binary", ":all:"]
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *which, package]
        subprocess.run([*command, "-d", str(folder)], check=True)
        for archive in [path for path in folder.iterdir() if path.is_file()]:
            shutil.unpack_archive(archive, folder, "zip" if archive.suffix == ".whl" else None)

    return _kept(cache / "pypi" / package, fetch)


def npm(cache: Path, package: str) -> Path:
    """The unpacked package."""

    def fetch(folder: Path) -> None:
        subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        for archive in folder.glob("*.tgz"):
            shutil.unpack_archive(archive, folder)

    return _kept(cache / "npm" / package.replace("/", "-"), fetch)


def _kept(folder: Path, fetch: Callable[[Path], None]) -> Path:
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            whole = Path(made) / "whole"
            whole.mkdir()
            fetch(whole)
            whole.rename(folder)
    return folder
