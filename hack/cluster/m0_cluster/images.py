"""M0's own images: built by BuildKit from the repo's root, loaded into the node once per change.

Each carries a tag made from its content, so that a chart sees a change and nothing else does.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from . import debian, registry
from .engine import Engine
from .settings import Settings
from .shell import Failure, Job, note, output, pipeline, run, works

DEFAULT_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
LOCAL_BASE = "m0-base:trixie"
MADE_HERE = ("m0-base", "m0-debian", "m0-node")
DOCKERFILES = {
    "m0-dev-stack": "hack/dev-stack/Dockerfile",
    "m0-operator": "operator/Dockerfile",
    "m0-chunker": "chunker-job/Dockerfile",
}
# with crash points that tests can arm: never what a release is built as
TARGETS = {"m0-operator": "test", "m0-chunker": "test"}


@dataclass(frozen=True)
class Image:
    """One built image."""

    repository: str
    tag: str

    @property
    def name(self) -> str:
        """What pods ask for."""
        return f"{self.repository}:{self.tag}"


def base(settings: Settings, engine: Engine) -> str:
    """Return the image that M0's images are built from.

    Raises:
        Failure: it can't be made.
    """
    if registry.reachable(settings, engine):
        return registry.PUBLIC_BASE
    made = debian.image(settings, engine, "trixie", ["ca-certificates"])
    engine.ask("tag", made, LOCAL_BASE)
    return LOCAL_BASE


def build(settings: Settings, engine: Engine, base_image: str) -> dict[str, Image]:
    """Build M0's images (seconds when nothing changed), by repository.

    Raises:
        Failure: one of them does not build.
    """
    return {
        repository: _build(settings, engine, repository, dockerfile, base_image)
        for repository, dockerfile in DOCKERFILES.items()
    }


def _build(
    settings: Settings, engine: Engine, repository: str, dockerfile: str, base_image: str
) -> Image:
    file = settings.repo / dockerfile
    if not file.exists():
        raise Failure(f"{dockerfile} is missing")
    argv = engine.argv("build", "-f", file, "-t", f"{repository}:dev", "--network=host")
    argv += ["--build-arg", f"BASE={base_image}"]
    if repository in TARGETS:
        argv += ["--target", TARGETS[repository]]
    if bundle := ca_bundle():
        argv += ["--secret", f"id=ca,src={bundle}"]
    env = {**engine.env, "BUILDKIT_PROGRESS": "plain"}
    job = Job(settings.logs / f"build-{repository}.log", env=env, downloads=True)
    run(f"docker build {repository}", [*argv, str(settings.repo)], job)
    identity = engine.ask("image", "inspect", "-f", "{{.Id}}", f"{repository}:dev")
    image = Image(repository, f"dev-{identity.removeprefix('sha256:')[:12]}")
    engine.ask("tag", f"{repository}:dev", image.name)
    _forget_older(engine, image)
    return image


def _forget_older(engine: Engine, current: Image) -> None:
    tags = engine.ask("images", "--format", "{{.Tag}}", current.repository).split()
    for tag in tags:
        if tag.startswith("dev-") and tag != current.tag:
            engine.ask("rmi", f"{current.repository}:{tag}")


def forget_all(engine: Engine) -> None:
    """Remove every image that was made here, from an engine that stays."""
    for line in engine.ask("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines():
        repository, _, tag = line.partition(":")
        is_build = repository in DOCKERFILES and (tag == "dev" or tag.startswith("dev-"))
        if is_build or repository.startswith(MADE_HERE):
            works(engine.argv("rmi", line), env=engine.env)  # what is in use stays


def ca_bundle() -> Path | None:
    """Return the CA bundle that this machine's own downloads use."""
    for name in (os.environ.get("PIP_CERT"), os.environ.get("SSL_CERT_FILE"), DEFAULT_CA_BUNDLE):
        if name and Path(name).is_file():
            return Path(name)
    return None


def load(settings: Settings, engine: Engine, images: list[Image]) -> int:
    """Load into the node those images that it lacks, in one stream; return how many.

    Raises:
        Failure: the node does not take them.
    """
    ctr = ["ctr", "--namespace=k8s.io", "images"]
    listed = output(
        engine.argv("exec", settings.node, *ctr, "ls", "-q"), env=engine.env
    ).splitlines()
    new = [image.name for image in images if f"docker.io/library/{image.name}" not in listed]
    if not new:
        note("the node has them all")
        return 0
    note(f"loading {', '.join(new)}")
    save = engine.argv("save", *new)
    take = [*ctr, "import", "--all-platforms", "--digests", "--snapshotter=overlayfs", "-"]
    stages = [save, engine.argv("exec", "-i", settings.node, *take)]
    pipeline("loading images", stages, Job(settings.logs / "load.log", env=engine.env))
    return len(new)
