#!/bin/sh
# Removes from a virtual environment what M0 never loads. Usage: prune.sh VENV
set -eu
here=$(cd "$(dirname "$0")" && pwd)
site=$(echo "$1"/lib/python3*/site-packages)
cd "$site"

rm -rf pip pip-*.dist-info "$1"/bin/pip*

# botocore: one directory of descriptions for each AWS service. S3 is what is spoken, and Secrets
# Manager once at the start; STS, SSO and sign-in are where credentials may come from (roles, web
# identity); the files beside the directories (endpoints, partitions, retry rules) serve all of them.
for service in botocore/data/*/; do
    case $(basename "$service") in
        s3|secretsmanager|sts|sso|sso-oidc|signin) ;;
        *) rm -rf "$service" ;;
    esac
done

python3 "$here/slim_botocore.py" botocore/data

# C headers, Cython sources and type stubs: for building against a library, not for running it.
find . \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.h' -o -name '*.c' \) -type f -delete
find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
