"""Whether an image registry can be reached: asked once, remembered in the cache."""

from .engine import Engine
from .settings import Settings
from .shell import note, works

PUBLIC_BASE = "debian:trixie-slim"
PROBE_TIMEOUT_S = 20


def reachable(settings: Settings, engine: Engine) -> bool:
    """Tell whether images can be pulled; `M0_REGISTRY` overrides."""
    if settings.registry is not None:
        return settings.registry
    answer = settings.cache / "registry"
    if answer.exists():
        return answer.read_text() == "yes"
    note(
        f"asking for an image registry (at most {PROBE_TIMEOUT_S} s; M0_REGISTRY=yes|no overrides)"
    )
    probe = engine.argv("manifest", "inspect", PUBLIC_BASE)
    found = engine.has_image(PUBLIC_BASE) or works(probe, env=engine.env, timeout_s=PROBE_TIMEOUT_S)
    answer.parent.mkdir(parents=True, exist_ok=True)
    answer.write_text("yes" if found else "no")
    note("there is one" if found else f"none: images are built here (remembered in {answer})")
    return found
