"""Peak memory of a whole lab run on an image of the size of the paper's Drosophila example."""

import json
import resource
import subprocess
import sys

CODE = """
import json, resource, numpy as np, siamdecon
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
imported = peak()
clean = np.random.default_rng(0).uniform(size=(1352, 532)).astype(np.float32)
psf = siamdecon.paper_psf(2)
noisy = siamdecon.degrade(clean, psf)
siamdecon.deconvolve(noisy, psf, tier="lab", progress=False, steps={steps})
print(json.dumps({{"after_import": imported, "peak": peak()}}))
"""


def measure(args, steps: int = 60) -> dict:
    """Restore in a separate process and return its peak resident memory in bytes.

    Memory use is stable after a few steps, so a shortened run shows the peak of a whole one.
    """
    code = CODE.format(steps=steps)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    for name, size in result.items():
        print(f"{name.replace('_', ' ')}: {size / 1e9:.2f} GB")
    return {**result, "steps": steps, "unit": "bytes", "page_size": resource.getpagesize()}
