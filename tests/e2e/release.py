"""A release of the chart in a namespace of its own, beside the deployed one.

The custom resource definition is the cluster's and stays the deployed release's.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from devstack import ROOT
from own import OwnStack

CHART = ROOT / "charts" / "m0-operator"
NAME = "m0"
WAIT = "4m"


class Release(OwnStack):
    """The release, once `install` has made it."""

    def helm(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run helm in this namespace.

        Raises:
            RuntimeError: it failed (only with `check`).
        """
        result = subprocess.run(
            [ROOT / ".m0/bin/helm", "-n", self.namespace, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            env={**os.environ, "KUBECONFIG": self.env["KUBECONFIG"]},
        )
        if check and result.returncode:
            raise RuntimeError(f"helm {arguments[0]}: {result.stderr}\n{self.state()}")
        return result

    def state(self) -> str:
        """What a person would look at when it does not come up."""
        return self.kubectl("get", "pods,events", check=False)[-3000:]

    def prepare(self) -> None:
        """As for operators of our own, but the accounts are the chart's."""
        super().prepare()
        self.kubectl("delete", "serviceaccount", "m0-chunker")

    def install(self, chart: Path = CHART, without: tuple[str, ...] = (), **more: Any) -> str:
        """Install or upgrade, and wait until it runs; what helm says.

        Args:
            without: keys of `values` that an older chart does not know.
            more: values, over those.
        """
        values = {name: value for name, value in self.values().items() if name not in without}
        file = self._directory / "values.yaml"
        file.write_text(yaml.safe_dump(merged(values, more)))
        done = self.helm(
            "upgrade", "--install", NAME, chart, "-f", file, "--wait", "--timeout", WAIT
        )
        return done.stdout

    def values(self) -> dict[str, Any]:
        """Against the dev stack, with queues of our own; the images are the deployed ones'."""
        return {
            "crds": {"install": False},
            "image": self._image("operator"),
            "rabbitmq": {"existingSecret": "m0-dev-credentials"},
            "graphql": {"url": "http://m0-backend:8400/graphql"},
            "s3": {"endpointUrl": "http://m0-s3:8333"},
            "stores": {"existingSecret": "m0-dev-stores"},
            "declareQueues": True,
            "queues": {
                "priority": self.requests,
                "results": self.results,
                "deadletter": self.letters,
                "progress": f"{self.namespace}.progress",
            },
            "operator": {"replicas": 1},
            "chunker": {
                "image": self._image("chunker"),
                "resources": {
                    "requests": {"cpu": "50m", "memory": "128Mi"},
                    "limits": {"cpu": None, "memory": "1Gi"},
                },
            },
        }

    def _image(self, name: str) -> dict[str, str]:
        """M0_TEST_OPERATOR_IMAGE and M0_TEST_CHUNKER_IMAGE, or what is deployed."""
        given = os.environ.get(f"M0_TEST_{name.upper()}_IMAGE")
        return split_image(given or self.deployed_image(name))

    def deployed_image(self, name: str) -> str:
        """The image that the deployed release has."""
        if name == "operator":
            found = self._in(self.deployed, "get", "deployment", "m0-operator", "-o", "json")
            image: str = json.loads(found)["spec"]["template"]["spec"]["containers"][0]["image"]
            return image
        return str(self._template()["image"])

    def may(self, account: str) -> dict[str, set[str]]:
        """Resource → verbs of an account of this namespace, as `kubectl auth can-i --list` says."""
        subject = f"system:serviceaccount:{self.namespace}:{account}"
        text = self.kubectl("auth", "can-i", "--list", "--no-headers", f"--as={subject}")
        found: dict[str, set[str]] = {}
        for line in text.splitlines():
            resource = line.split(" ", 1)[0]
            if resource and not resource.startswith(("[", "selfsubject")):
                verbs = line[line.rindex("[") + 1 : line.rindex("]")].split()
                found.setdefault(resource, set()).update(verbs)
        return found


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Values over values, as helm lays them."""
    return {
        **below,
        **{
            name: merged(below[name], value)
            if isinstance(value, dict) and isinstance(below.get(name), dict)
            else value
            for name, value in above.items()
        },
    }


def split_image(image: str) -> dict[str, str]:
    """`repository` and `tag` of REPOSITORY:TAG."""
    repository, _, tag = image.rpartition(":")
    return {"repository": repository, "tag": tag}


@contextmanager
def own_release(tmp_path: Path) -> Iterator[Release]:
    """A namespace for a release, while the context is open."""
    release = Release(tmp_path)
    release.prepare()
    try:
        yield release
    finally:
        release.helm("uninstall", NAME, "--wait", check=False)
        release.close()
