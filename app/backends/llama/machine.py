"""What a server's life needs of this machine: the program, the model's file, a free port, a process, its answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app.backends.llama import journal
from app.backends.llama.guard import guarded
from app.backends.llama.launch import Cannot, Launch

PROGRAM = "llama-server"
TOKENS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})  # for fetching, and for nothing else
GRACE = 10.0  # seconds from SIGTERM to SIGKILL
QUESTION = 5.0  # seconds for an answer to one of our own questions

Tell = Callable[[dict[str, Any]], None]


def program(environ: Mapping[str, str]) -> str:
    """Its path. Raises Cannot."""
    found = shutil.which(PROGRAM, path=environ.get("PATH", os.defpath))
    if found is None:
        raise Cannot(
            f"there is no {PROGRAM} on PATH: install llama.cpp (brew install llama.cpp, winget install llama.cpp, or "
            "https://github.com/ggml-org/llama.cpp/releases)"
        )
    return found


def missing(launch: Launch) -> None:
    """Raises Cannot if its model should be a file of this machine and is not."""
    if launch.on_hub is None and not launch.file.is_file():
        raise Cannot(f"there is no file {launch.file}, which start.llama_server.model names")


async def answers(launch: Launch) -> bool:
    """Is somebody at its address already, who says how they are?"""
    return (await _get(launch, "/health"))[0] != 0


class Machine:
    """`hidden` are variables that no child may see: the secrets of the config."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.hidden: frozenset[str] = frozenset()

    async def file(self, launch: Launch, tell: Tell) -> Path:
        """The model's file, fetched if it has to be; `tell` is told before each. Raises Cannot."""
        if launch.on_hub is None:
            missing(launch)
            return launch.file
        return await _fetched(*launch.on_hub, self._visible(self.hidden - TOKENS), tell)

    async def start(self, launch: Launch, file: Path) -> Child:
        """Raises Cannot."""
        binary = program(self.environ)
        _is_free(launch)
        path = launch.journal(self.environ)
        log = journal.opened(path)
        try:
            process = await asyncio.create_subprocess_exec(
                *guarded([binary, *launch.options(file)]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._visible(self.hidden | TOKENS),
                start_new_session=True,  # Ctrl-C is for the gateway, which lets running answers end first
            )
        except OSError as error:
            raise Cannot(f"{binary} cannot be run ({error.strerror})") from None
        finally:
            os.close(log)
        return Child(process, launch, path)

    def _visible(self, hidden: frozenset[str]) -> dict[str, str]:
        return {name: value for name, value in self.environ.items() if name not in hidden}


class Child:
    """A running llama-server."""

    def __init__(self, process: asyncio.subprocess.Process, launch: Launch, journal: Path) -> None:
        self.pid = process.pid
        self.journal = journal
        self._process = process
        self._launch = launch

    async def wait(self) -> int:
        """Its exit code, below 0 the signal that ended it."""
        return await self._process.wait()

    async def healthy(self) -> bool:
        """Has it loaded its model?"""
        return (await _get(self._launch, "/health"))[0] == 200

    async def idle(self) -> bool:
        """Is no request in it, running or waiting? One that does not say has none that we could wait for."""
        text = (await _get(self._launch, "/metrics"))[1].decode("utf-8", "replace")
        counted = re.findall(r"^llamacpp:requests_(?:processing|deferred)(?:\{.*\})? (\S+)$", text, re.MULTILINE)
        return all(float(one) == 0 for one in counted)

    async def cut_journal(self) -> None:
        await asyncio.to_thread(journal.cut, self.journal)

    async def stop(self, grace: float = GRACE) -> None:
        await _stop(self._process, grace)


async def _fetched(repo: str, file: str, environ: dict[str, str], tell: Tell) -> Path:
    environ = {"HF_HUB_DISABLE_TELEMETRY": "1", **environ}  # it asks for the file and says nothing else
    command = guarded([sys.executable, "-P", "-m", "app.backends.llama.fetch", repo, file])
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env=environ, start_new_session=True
    )
    assert process.stdout is not None
    last: dict[str, Any] = {}
    try:
        async for line in process.stdout:
            last = json.loads(line)
            if "part" in last:
                tell(last)
        await process.wait()
    finally:
        await _stop(process)
    if "path" not in last:
        raise Cannot(last.get("cannot") or f"hf://{repo}/{file} cannot be fetched: the fetching process ended early")
    return Path(last["path"])


async def _stop(process: asyncio.subprocess.Process, grace: float = GRACE) -> None:
    """SIGTERM, and SIGKILL if that is not enough; nothing if it has ended."""
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _is_free(launch: Launch) -> None:
    family = socket.AF_INET6 if ":" in launch.host else socket.AF_INET
    try:
        socket.create_server((launch.host, launch.port), family=family).close()
    except OSError as error:
        raise Cannot(
            f"{launch.at} cannot be listened at ({error.strerror}): stop what does, or write another port in base_url"
        ) from None


async def _get(launch: Launch, path: str) -> tuple[int, bytes]:
    """Status and body; 0 and nothing if there is no answer."""
    try:
        async with asyncio.timeout(QUESTION):
            reader, writer = await asyncio.open_connection(launch.host, launch.port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {launch.at}\r\nConnection: close\r\n\r\n".encode())
                head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            finally:
                writer.close()
        return int(head.split(maxsplit=2)[1]), body
    except (OSError, TimeoutError, IndexError, ValueError):
        return 0, b""
