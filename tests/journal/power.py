"""A disk of its own that can lose its power: ext4 in a file, cut off by the file system's own shutdown."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

IMAGE_BYTES = 64 << 20
EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2
"""Stop at once and write nothing more, not even the file system's own log: what was not synced is gone."""


class Disk:
    """A mounted file system; ``path`` is its root.

    Args:
        image: A file that holds an ext4 file system.
        path: The empty folder that it is mounted on.
    """

    def __init__(self, image: Path, path: Path) -> None:
        self._image = image
        self.path = path

    def connect(self) -> None:
        """Mount it; its log is replayed, as after a boot."""
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def disconnect(self) -> None:
        """Unmount it."""
        _run("umount", str(self.path))

    def cut_power(self) -> None:
        """Let everything fail from now on, and forget what was not synced."""
        root = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(root, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(root)


@contextmanager
def own_disk(folder: Path) -> Iterator[Disk]:
    """Make a disk and mount it for the length of the context; skip the test, and say why, where that cannot be."""
    if os.geteuid() != 0:
        pytest.skip("a disk of its own can be mounted by root only")
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("there is no mkfs.ext4 (package e2fsprogs)")
    image, path = folder / "disk.img", folder / "disk"
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    _run("mkfs.ext4", "-q", "-F", str(image))
    disk = Disk(image, path)
    try:
        disk.connect()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine mounts no loop device: {error.stderr.strip()}")
    try:
        yield disk
    finally:
        disk.disconnect()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
