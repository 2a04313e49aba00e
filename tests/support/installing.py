"""Debian packages that tests need: installed when they are missing and we may."""

import os
import shutil
import subprocess


def why_not_installed(program: str, *packages: str) -> str | None:
    """Return why a program is not there, after trying to install its packages; None when it is."""
    if shutil.which(program):
        return None
    named = ", ".join(packages)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return f"{named} is not installed, and only root may install it with apt-get"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    for command in (install, ["apt-get", "update"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
        if shutil.which(program):
            return None
    return f"apt-get could not install {named}: {done.stderr.strip()[-200:]}"
