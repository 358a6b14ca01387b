import sys
from pathlib import Path

# The backend is no part of the distribution: a program of the dev stack's image only.
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "hack" / "dev-stack" / "backend"))
