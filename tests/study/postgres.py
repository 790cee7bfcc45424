"""PostgreSQL as Debian packages it: a cluster in a temporary folder, on a socket in that folder,
run by an unprivileged user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def programs() -> Path | None:
    """The folder of ``initdb`` and ``pg_ctl``; Debian has one per version, outside the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    on_path = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def cluster() -> Iterator[str]:
    """A running cluster; gives the address of its database."""
    binaries = programs()
    if binaries is None:
        assert not os.environ.get("CI"), "the tests of PostgreSQL need PostgreSQL"
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    who: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        names = {one.pw_name for one in pwd.getpwall()}
        user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        os.chown(folder, user.pw_uid, user.pw_gid)
    data, quiet = str(folder / "data"), {"check": True, "capture_output": True, "cwd": folder}

    def run(program: str, *arguments: str) -> None:
        subprocess.run([str(binaries / program), *arguments], **quiet, **who)

    try:
        run("initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-k {folder} -h '' -c fsync=off -c max_connections=120"
        run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://tester@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
