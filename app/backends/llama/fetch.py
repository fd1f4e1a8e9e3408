"""Gets a model of the Hugging Face Hub into the cache that all its tools share: `python -m app.backends.llama.fetch`.

A program of its own, so that the serving process neither imports the library nor waits for it, and can end it at any
moment. What was there before it ended is not fetched again: the library itself forgets a part when a process ends, so
here the part is kept beside where the whole will be, under a name that says of what it is a part.

On stdout one JSON object a line: {"name", "bytes", "part"} before each file that is fetched, and at the end {"path"}
or {"cannot"}. Progress goes to stderr if that is a terminal. HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE mean
what they mean to the library.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

from huggingface_hub import constants, errors, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]  # without a stub

from app.backends.llama.launch import Cannot, parts


def main(repo: str, file: str) -> int:
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings are about retries, which are our part
    try:
        paths = [fetch(repo, one) for one in parts(file)]
    except Cannot as error:
        return _say(cannot=str(error)) or 1
    return _say(path=str(paths[0]))


def fetch(repo: str, file: str) -> Path:
    """Its path in the cache. Raises Cannot."""
    try:
        return Path(hf_hub_download(repo, file, local_files_only=True))
    except errors.LocalEntryNotFoundError:
        pass
    try:
        _complete(repo, file)
        return Path(hf_hub_download(repo, file))  # it finds the file whole, and only gives it its name
    except Exception as error:  # the edge of this process: the library lets errors of several others through
        raise Cannot(f"hf://{repo}/{file} cannot be fetched: {_why(error, repo)}") from error


def _complete(repo: str, file: str) -> None:
    url = hf_hub_url(repo, file)
    about = get_hf_file_metadata(url)
    if about.size is None or not re.fullmatch(r"[\w.+-]+", about.etag or ""):
        raise Cannot("its server does not say which version it has, or how large it is")
    assert about.etag is not None
    blobs = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model") / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    whole, part = blobs / about.etag, blobs / f"{about.etag}.smallfirst-part"
    with WeakFileLock(f"{part}.lock"):
        if not whole.exists():
            _say(name=file, bytes=about.size, part=str(part))
            _rest(url, part, about.size, file)
            _check(part, about.etag)
            part.replace(whole)


def _rest(url: str, part: Path, size: int, name: str) -> None:
    """What is missing of it. The library asks again when a connection breaks, from where it broke."""
    with part.open("ab") as file:
        have = file.tell()
        if have > size:
            file.truncate(have := 0)
        http_get(
            url,
            file,
            resume_size=have,
            headers=build_hf_headers(),
            expected_size=size,
            displayed_filename=name,
        )


def _check(part: Path, etag: str) -> None:
    """Large files are named by their SHA-256."""
    if re.fullmatch(r"[0-9a-f]{64}", etag):
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != etag:
            part.unlink()
            raise Cannot("what came is not what was announced (SHA-256); it was thrown away")


def _why(error: BaseException, repo: str) -> str:
    hub = constants.ENDPOINT
    match error:
        case Cannot():
            return str(error)
        case errors.GatedRepoError():
            return f"{repo} wants its terms accepted at {hub}, and your token in HF_TOKEN"
        case errors.RepositoryNotFoundError():
            return f"there is no repository {repo} at {hub}, or HF_TOKEN may not read it"
        case errors.OfflineModeIsEnabled():
            return "it is not in the cache, and HF_HUB_OFFLINE forbids to ask for it"
        case errors.RemoteEntryNotFoundError():
            return f"there is no such file in {repo} at {hub}"
        case errors.HfHubHTTPError():
            return f"{hub} answers {error.response.status_code}"
        case OSError(strerror=str(text)):
            return text
        case _:
            return f"{hub} cannot be reached ({type(error).__name__}); HF_ENDPOINT names another"


def _say(**words: Any) -> int:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    os._exit(main(*sys.argv[1:]))  # at once: threads of a library may wait for a server that says no more
