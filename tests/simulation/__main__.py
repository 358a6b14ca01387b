"""`python -m simulation`: many seeds on all cores, or one seed with its trace."""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from simulation.run import Result, run_seed


def main() -> int:
    """Exit code 1 when a seed has found something."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--start", type=int, default=0, help="the first one (default: 0)")
    parser.add_argument("--seed", type=int, help="replay this one and print its trace")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if options.seed is not None:
        return _replay(options.seed)
    return _run_many(range(options.start, options.start + options.seeds), options.jobs)


def _replay(seed: int) -> int:
    result = run_seed(seed, verbose=True)
    print(result.plan)
    for at_s, who, what in result.trace:
        print(f"{at_s:10.3f}  {who:8}  {what}")
    for problem in result.problems:
        print(f"BROKEN: {problem}")
    print(f"seed {seed}: {'broken' if result.problems else 'holds'}, {result.virtual_s:.0f} s")
    return 1 if result.problems else 0


def _try(seed: int) -> tuple[int, list[str], float, Counter[str]]:
    result: Result = run_seed(seed)
    return seed, result.problems, result.virtual_s, Counter(result.stats)


def _run_many(seeds: range, jobs: int) -> int:
    began, failed, virtual_s = time.perf_counter(), 0, 0.0
    stats: Counter[str] = Counter()
    with ProcessPoolExecutor(jobs) as pool:
        for seed, problems, seconds, counted in pool.map(_try, seeds, chunksize=10):
            virtual_s += seconds
            stats += counted
            if problems:
                failed += 1
                print(f"seed {seed}: {problems[0]}")
                print(f"    replay: make simulate ARGS='--seed {seed}'", flush=True)
    took_s = time.perf_counter() - began
    print(
        f"{len(seeds)} seeds, {failed} broken; {virtual_s / 3600:.1f} h of virtual time in "
        f"{took_s:.0f} s ({len(seeds) / took_s:.1f} seeds/s); {dict(stats)}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
