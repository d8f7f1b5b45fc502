"""Install PyTorch's CPU build where there is no NVIDIA driver; pip's default brings CUDA, several GB.

`python install_torch.py [auto|cpu|default] [INDEX]`, with the Python of the environment it is for;
`make lab TORCH=default` passes the choice on. What it installs is the version that constraints.txt names.
"""

import platform
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.request import urlopen

INDEX = "https://download.pytorch.org/whl/cpu"
DRIVER = Path("/proc/driver/nvidia/version")
PIN = re.search(r"^torch==(\S+)", Path(__file__).with_name("constraints.txt").read_text(), re.M)[1]
WAIT_S = 5


def installed() -> bool:
    """Say whether the pinned version is there, of whatever build."""
    try:
        return version("torch").split("+")[0] == PIN
    except PackageNotFoundError:
        return False


def choose(wish: str, index: str) -> tuple[bool, str]:
    """Return whether to take the CPU build, and why."""
    if wish not in ("auto", "cpu", "default"):
        raise SystemExit(f"TORCH: expected auto, cpu or default, got {wish!r}")
    if wish != "auto":
        return wish == "cpu", f"TORCH={wish}"
    if installed():
        return False, f"{version('torch')} is there already"
    if platform.system() != "Linux":
        return False, f"on {platform.system()} pip's default is the right one"
    if DRIVER.exists() or shutil.which("nvidia-smi"):
        return False, "there is an NVIDIA driver"
    try:
        urlopen(f"{index}/torch/", timeout=WAIT_S).close()
    except OSError as error:
        return False, f"no NVIDIA driver, but {index} does not answer ({error})"
    return True, "no NVIDIA driver; TORCH=default takes pip's default build"


def main(wish: str = "auto", index: str = INDEX) -> None:
    """Say in one line which build is taken, and install it if it is not pip's default."""
    cpu, why = choose(wish, index)
    print(f"PyTorch: {'the CPU build' if cpu else 'as pip finds it'} ({why})")
    if cpu:
        # alone from that index: everything else comes from where pip is set up to look
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        done = subprocess.run(
            [*pip, "--no-deps", "--index-url", index, f"torch=={PIN}"], check=False
        )
        if done.returncode and wish == "cpu":
            raise SystemExit(done.returncode)


if __name__ == "__main__":
    main(*sys.argv[1:])
