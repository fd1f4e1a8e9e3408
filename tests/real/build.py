"""Builds llama.cpp's server from a pinned source distribution, once for each version: `make test-real` runs this file.

It needs a C++ compiler, and some minutes of every core. What it makes is kept outside the tree: the server, and the
two files of llama.cpp that our small model is made of. Nothing but the standard library, for it runs before all else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SDIST = Path(__file__).with_name("sdist.txt")
CURE = "install a C++ compiler (Debian: build-essential), then make test-real"

# Nothing newer than AVX2: the cache may be carried to another machine. No OpenMP: its threads wait by spinning.
OPTIONS = """
CMAKE_BUILD_TYPE=Release CMAKE_C_FLAGS_RELEASE=-O1 CMAKE_CXX_FLAGS_RELEASE=-O1 BUILD_SHARED_LIBS=OFF
GGML_NATIVE=OFF GGML_OPENMP=OFF GGML_CCACHE=OFF
LLAMA_OPENSSL=OFF LLAMA_USE_PREBUILT_UI=OFF LLAMA_BUILD_UI=OFF
LLAMA_BUILD_TESTS=OFF LLAMA_BUILD_EXAMPLES=OFF LLAMA_BUILD_APP=OFF
"""
VOCABULARY = "models/ggml-vocab-qwen2.gguf"
TEMPLATE = "models/templates/Qwen-Qwen2.5-7B-Instruct.jinja"


def version() -> str:
    found = re.search(r"==([\d.]+)", SDIST.read_text())
    assert found
    return found[1]


def home() -> Path:
    """Where the server of this version is, or will be."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "smallfirst" / f"llama-server-{version()}"


def server() -> Path:
    return home() / "llama-server"


def vocabulary() -> Path:
    return home() / Path(VOCABULARY).name


def template() -> Path:
    return home() / Path(TEMPLATE).name


def build() -> None:
    """In a folder that becomes the final one by a rename, so that what is there is always whole."""
    home().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=home().parent) as folder:
        source = _source(Path(folder))
        made = Path(folder) / "made"
        made.mkdir()
        for path in (_compiled(source, Path(folder) / "objects"), source / VOCABULARY, source / TEMPLATE):
            shutil.copy2(path, made)
        if not home().exists():  # another run may have been quicker
            made.rename(home())


def _source(folder: Path) -> Path:
    """llama.cpp's tree, from the package index that pip is set up for; pip checks the hash."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _run(*pip, "--no-binary=llama-cpp-python", "--require-hashes", "-r", str(SDIST), "-d", str(folder))
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        wanted = [member for member in tar.getmembers() if "/vendor/llama.cpp/" in member.name]
        tar.extractall(folder, wanted)  # Python 3.11.2 knows no filter, and the hash vouches for what is in it
    [source] = folder.glob("*/vendor/llama.cpp")
    return source


def _compiled(source: Path, objects: Path) -> Path:
    options = [f"-D{option}" for option in OPTIONS.split()]
    _run(_tool("cmake"), "-S", str(source), "-B", str(objects), "-G", "Ninja", *options, _ninja())
    _run(_tool("cmake"), "--build", str(objects), "--target", "llama-server")
    return objects / "bin" / "llama-server"


def _tool(name: str) -> str:
    """The one of the system, else the wheel's in the environment of this suite."""
    return shutil.which(name) or str(ROOT / ".real" / "bin" / name)


def _ninja() -> str:
    return f"-DCMAKE_MAKE_PROGRAM={_tool('ninja')}"


def _run(*command: str) -> None:
    """Its chatter is shown only if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-5000:]}")


def main() -> None:
    if server().exists():
        return
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        print(f"there is no C++ compiler: {CURE}", file=sys.stderr)  # the tests say it again, and fail in CI
        return
    print(f"building llama-server {version()}, about seven minutes on two cores", file=sys.stderr)
    build()


if __name__ == "__main__":
    main()
