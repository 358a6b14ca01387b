"""The alerts by promtool, as rendered: they fire and clear; what is asked for is there."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from m0_operator.adapters.gauges import Gauges
from m0_operator.adapters.metrics import Metrics
from unit.charts.rendering import GOLDEN, HELM, Manifest, find

TESTS = GOLDEN / "alerts-test.yaml"


@pytest.fixture
def rules(full: list[Manifest], tmp_path: Path) -> Path:
    file = tmp_path / "alerts.yaml"
    file.write_text(yaml.safe_dump(find(full, "PrometheusRule")["spec"]))
    shutil.copy(TESTS, tmp_path)
    return file


def promtool(*arguments: str | Path) -> str:
    """What it says; it must be content."""
    program = HELM.with_name("promtool")
    assert program.exists(), "promtool is missing; this brings it: python3 hack/cluster tools"
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_well_formed(rules: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", rules)


def test_each_alert_fires_and_clears(rules: Path) -> None:
    promtool("test", "rules", rules.parent / TESTS.name)


def test_no_alert_is_untested(rules: Path) -> None:
    (group,) = yaml.safe_load(rules.read_text())["groups"]
    text = TESTS.read_text()
    untested = [
        rule["alert"] for rule in group["rules"] if text.count(f'alertname="{rule["alert"]}"') < 3
    ]
    assert untested == []


def test_rules_and_dashboard_ask_only_for_metrics_that_there_are(
    rules: Path, full: list[Manifest]
) -> None:
    metrics = Metrics("1")
    zero = lambda: 0.0  # noqa: E731
    metrics.watch(
        Gauges(
            lambda: True,
            *(zero, zero, zero, zero, zero),
            rounds=lambda: (0, 0),
            messages=lambda: {"requests": 1},
            not_empty_s=lambda: {"requests": 1.0},
        )
    )
    said = metrics.expose().decode()
    families = set(re.findall(r"^# TYPE (\S+)", said, re.MULTILINE))
    series = families | {f"{name}_{end}" for name in families for end in ("bucket", "count", "sum")}
    board = json.loads(find(full, "ConfigMap", "m0-operator-dashboard")["data"]["m0.json"])
    asked = rules.read_text() + json.dumps(board)
    wanted = set(re.findall(r"\b(m0_[a-z_]+|process_[a-z_]+)\b", asked))
    assert len(wanted) > 20
    assert wanted - series == set()
