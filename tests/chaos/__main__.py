"""`make chaos`: the whole matrix on the running cluster, and the report of it.

`make chaos ARGS='--only broker'`: the scenes in whose description the word is; no report.
"""

import argparse
import sys
import time

from chaos import report
from chaos.cells import MATRIX, Scene
from chaos.films import films_in_store
from chaos.judge import Result, audit, describe
from chaos.play import play
from chaos.stage import Stage
from devstack import ROOT, DevStack

REPORT = ROOT / "docs" / "chaos.md"


def main() -> int:
    """Play all scenes that are wanted; 1 when a cell did not end as it must."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make chaos ARGS=…")
    parser.add_argument("--only", default="", help="scenes whose description contains this")
    values = parser.parse_args()
    stage = Stage(DevStack())
    began = time.monotonic()
    found: dict[str, list[Result]] = {}
    with films_in_store(stage.stack) as films:
        for title, scenes in MATRIX.items():
            for scene in scenes:
                if values.only in _describe(scene):
                    results = play(stage, films, scene)
                    found.setdefault(title, []).extend(results)
                    _say(results)
    results = [result for part in found.values() for result in part]
    late = audit(stage, results)
    bad = [result for result in results if result.wrong]
    minutes = (time.monotonic() - began) / 60
    print(f"{len(results)} cells, {len(bad)} wrong, {len(late)} late, {minutes:.1f} min")
    print("\n".join(late))
    if not values.only:
        REPORT.write_text(report.render(found, late, minutes))
        print(f"written: {REPORT.relative_to(ROOT)}")
    return 1 if bad or late else 0


def _describe(scene: Scene) -> str:
    return " | ".join(f"{cell.kind}: {describe(scene, cell)}" for cell in scene.cells)


def _say(results: list[Result]) -> None:
    for result in results:
        mark = "✗" if result.wrong else "✓"
        print(f"{mark} {result.cell.kind}: {describe(result.scene, result.cell)}")
        print(f"    {result.wrong or result.came_out}; {result.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
