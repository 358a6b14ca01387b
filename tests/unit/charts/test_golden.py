"""The rendered chart as it was reviewed: with the dev stack's values, everything on, all off."""

import os

import pytest
import yaml
from unit.charts.rendering import GOLDEN, Manifest


@pytest.mark.parametrize(
    ("fixture", "golden"),
    [("dev", "m0-operator"), ("full", "m0-everything"), ("least", "m0-least")],
)
def test_the_chart_renders_as_reviewed(
    fixture: str, golden: str, request: pytest.FixtureRequest
) -> None:
    """M0_UPDATE_GOLDEN=1 rewrites the file; review the difference."""
    manifests: list[Manifest] = request.getfixturevalue(fixture)
    shown = [manifest for manifest in manifests if manifest["kind"] != "CustomResourceDefinition"]
    text = yaml.safe_dump_all(shown, sort_keys=True)
    path = GOLDEN / f"{golden}.yaml"
    if os.environ.get("M0_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
