#!/bin/sh
# The reference GraphQL backend on 8400; see m0_backend/app.py.
set -eu
exec python3 -m uvicorn m0_backend.app:create_app --factory --host 0.0.0.0 --port 8400 \
    --no-access-log --log-level warning
