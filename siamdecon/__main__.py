"""The command line, `siamdecon` or `python -m siamdecon`: it answers Ctrl-C from its first line on."""

import os
import signal
import sys


def main() -> int:
    """Load what the command line needs, torch among it, and run it."""
    signal.signal(signal.SIGINT, _leave)
    from siamdecon.cli import main as run  # here, since it takes seconds

    return run()


def _leave(*_) -> None:
    """End at once: where modules are loaded, an exception may be taken for a failure of one of them."""
    os.write(2, b"siamdecon: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
