"""How much longer a restoration takes beside others: one, two and four at once, in turn, in one run."""

import multiprocessing
import statistics
import time

from siamdecon import deconvolve, degrade, load_sample, paper_psf

#: Method and options: enough steps that starting and ending weigh little.
CASES = {
    "noise2self": {"steps": 30},
    "noise2same_d": {"steps": 30},
    "self_scale": {"steps": 30},
    "ssi": {"steps": 30},
    "total_variation": {},
    "richardson_lucy": {"iterations": 100},
    "wiener": {},
}
AT_ONCE = (1, 2, 4)
ROUNDS = 3


def restore(pipe, barrier) -> None:
    """In a process of its own: restore as told, together with the others, and send back the seconds."""
    psf = paper_psf(2)
    noisy = degrade(load_sample("histology"), psf)
    while (told := pipe.recv()) is not None:
        method, options, together = told
        if together:
            barrier.wait()
        begin = time.perf_counter()
        deconvolve(noisy, psf, method, limits=(0, 1), device="cpu", progress=False, **options)
        pipe.send(time.perf_counter() - begin)


def measure(args) -> dict:
    """Restore by each method, alone and beside others; print and return the ratios to the time alone."""
    spawn = multiprocessing.get_context("spawn")
    results = {"rounds": ROUNDS, "methods": {}}
    # a barrier is gone with its last reference here, before a process has found it
    barriers = {count: spawn.Barrier(count) for count in AT_ONCE}
    crowds = {}
    for count, barrier in barriers.items():
        pipes, ends = zip(*(spawn.Pipe() for _ in range(count)), strict=True)
        for end in ends:
            spawn.Process(target=restore, args=(end, barrier), daemon=True).start()
        crowds[count] = pipes
    for method, options in CASES.items():
        seconds = {count: [] for count in AT_ONCE}
        short = {name: 1 for name in options}
        for pipes in crowds.values():  # a warm-up
            for pipe in pipes:
                pipe.send((method, short, False))
                pipe.recv()
        for _ in range(ROUNDS):
            for count, pipes in crowds.items():
                for pipe in pipes:
                    pipe.send((method, options, True))
                seconds[count].append(statistics.mean(pipe.recv() for pipe in pipes))
        alone = statistics.median(seconds[1])
        ratios = {n: statistics.median(t) / alone for n, t in seconds.items()}
        results["methods"][method] = {"seconds_alone": alone, "ratios": ratios}
        shown = ", ".join(f"{n} at once {ratio:.2f}" for n, ratio in ratios.items() if n > 1)
        print(f"{method}: {shown} times as long as alone ({alone:.2f} s)", flush=True)
    for pipes in crowds.values():
        for pipe in pipes:
            pipe.send(None)
    return results
