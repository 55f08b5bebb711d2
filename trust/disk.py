"""A disk that can be full, or read-only, for the commands that have to survive it."""

import shutil
import subprocess
from pathlib import Path


class Disk:
    """A folder on a disk that can be filled and made read-only, where one may be mounted, else a plain folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.real = self._mount("-t", "tmpfs", "-o", "size=512m", "tmpfs")

    def limit(self, spare: int | None) -> None:
        """Leave so many bytes free, all of them with None."""
        used = (512 << 20) - shutil.disk_usage(self.folder).free
        size = 512 << 20 if spare is None else max(used + spare, 4096)
        assert self._mount("-o", f"remount,rw,size={size}")

    def freeze(self) -> bool:
        """Make it read-only; False where a file is open for writing."""
        return self._mount("-o", "remount,ro")

    def gone(self) -> None:
        if self.real:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)

    def _mount(self, *words: str) -> bool:
        done = subprocess.run(["mount", *words, str(self.folder)], capture_output=True, check=False)
        return done.returncode == 0
