"""`make chaos`: the whole matrix on the running cluster, and the report of it.

`make chaos ARGS='--only RabbitMQ'`: the scenes in whose title or description the word is; their
lines in the report are replaced. `--dry` writes none.
"""

import argparse
import sys
import time

from chaos import report
from chaos.cells import MATRIX, Scene
from chaos.films import films_in_store
from chaos.judge import Result, audit, describe, forget
from chaos.play import play
from chaos.stage import Stage
from devstack import ROOT, DevStack

REPORT = ROOT / "docs" / "chaos.md"


def main() -> int:
    """Play all scenes that are wanted; 1 when a cell did not end as it must."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make chaos ARGS=…")
    parser.add_argument("--only", default="", help="scenes whose title or description has this")
    parser.add_argument("--dry", action="store_true", help="leave the report as it is")
    values = parser.parse_args()
    stage = Stage(DevStack())
    began = time.monotonic()
    results: list[Result] = []
    late: list[str] = []
    audited = 0
    scenes = [(title, scene) for title, part in MATRIX.items() for scene in part]
    with films_in_store(stage.stack) as films:
        for title, scene in scenes:
            if values.only not in f"{title} | {_describe(scene)}":
                continue
            if scene.fault == "broker killed":
                # Killed, it forgets that we took messages off its queues a moment ago.
                late += audit(stage, results[audited:])
                audited = len(results)
            played = play(stage, films, scene)
            results += played
            _say(played)
            if not values.dry:
                _note(played, [])
    late += audit(stage, results[audited:])
    forget(stage, results)
    bad = [result for result in results if result.wrong]
    minutes = (time.monotonic() - began) / 60
    print(f"{len(results)} cells, {len(bad)} wrong, {len(late)} late, {minutes:.1f} min")
    print("\n".join(late))
    if not values.dry:
        _note(results, late)
    return 1 if bad or late else 0


def _note(results: list[Result], late: list[str]) -> None:
    known = report.read(REPORT.read_text()) if REPORT.exists() else {}
    REPORT.write_text(report.render(known | report.lines_of(results), late))


def _describe(scene: Scene) -> str:
    return " | ".join(f"{cell.kind}: {describe(scene, cell)}" for cell in scene.cells)


def _say(results: list[Result]) -> None:
    for result in results:
        mark = "✗" if result.wrong else "✓"
        print(f"{mark} {result.cell.kind}: {describe(result.scene, result.cell)}")
        print(f"    {result.wrong or result.came_out}; {result.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
