"""`python -m benchmarks.stress`: attack the package, and store in benchmarks/results/ what was lost.

A run goes on where the last one with the same seed, on the same code, has stopped.
"""

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from importlib import import_module
from pathlib import Path

from tqdm import tqdm

from benchmarks.machine import machine
from benchmarks.stress import ATTACKS, PACKAGE, one, run
from siamdecon.files.atomic import write_atomically

RESULTS = Path(__file__).parents[1] / "results" / "stress.json"
#: Cases that are run before the results are stored again.
SLICE = 25


def main() -> int:
    p = argparse.ArgumentParser(prog="python -m benchmarks.stress", description=__doc__)
    p.add_argument("--attack", nargs="+", choices=ATTACKS, default=ATTACKS, metavar="ATTACK",
                   help=", ".join(ATTACKS))  # fmt: skip
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--count", type=int, help="cases of each attack; its own number unless given")
    p.add_argument("--share", type=float, default=1.0, help="of each attack's own number of cases")
    p.add_argument("--only", type=int, metavar="CASE", help="run one case, and store nothing")
    p.add_argument("--budget-s", type=float, metavar="S", help="begin no slice after so long")
    p.add_argument("--out", type=Path, default=RESULTS)
    args = p.parse_args()
    if args.only is not None:
        print(*(one(attack, args.seed, args.only) for attack in args.attack), sep="\n")
        return 0
    begin, lost = time.monotonic(), 0
    for attack in args.attack:
        lost += carry_on(attack, args, begin)
    return int(lost > 0)


def carry_on(attack: str, args: argparse.Namespace, begin: float) -> int:
    """Run what is missing of an attack; return how many of its cases were lost."""
    module, key = import_module(f"benchmarks.stress.{attack}"), {"seed": args.seed, "code": code()}
    count = args.count or round(args.share * module.COUNT)
    done = stored(args.out).get(attack, {})
    if {name: done.get(name) for name in key} != key:
        done = {**key, "cases": 0, "outcomes": {}, "lost": [], "slowest_s": 0.0}
    done |= {"tried": module.TRIED, "holds": module.HOLDS}
    with tqdm(total=count, initial=done["cases"], desc=attack, unit="case") as bar:
        while done["cases"] < count:
            if args.budget_s is not None and time.monotonic() - begin > args.budget_s:
                print(f"{attack}: {count - done['cases']} cases to go; run the same again")
                break
            cases = range(done["cases"], min(count, done["cases"] + SLICE))
            found = run(attack, args.seed, cases, lambda _: bar.update())
            done["cases"] += found["cases"]
            done["outcomes"] = dict(Counter(done["outcomes"]) + found["outcomes"])
            done["lost"] += found["lost"]
            done["slowest_s"] = max(done["slowest_s"], found["slowest_s"])
            for each in found["lost"]:
                print(f"{attack}, case {each['case']}: {each['what']}", file=sys.stderr)
            results = stored(args.out) | {"machine": machine(), attack: done}
            text = json.dumps(results, indent=1) + "\n"
            write_atomically(args.out, lambda part, text=text: part.write_text(text))
    return len(done["lost"])


def stored(path: Path) -> dict:
    """Return the results so far."""
    return json.loads(path.read_text()) if path.exists() else {}


def code() -> str:
    """Return a checksum of the package and of the attacks: results of other code are not gone on with."""
    files = [*Path(PACKAGE).rglob("*.py"), *Path(__file__).parent.glob("*.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()[:12]


if __name__ == "__main__":
    sys.exit(main())
