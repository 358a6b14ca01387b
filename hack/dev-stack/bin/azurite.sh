#!/bin/sh
# Azurite's Blob service on 10000, data in /data. /tmp/ready appears once the containers exist.
#
# A client reaches it by service name or by address: the account is always in the path.
set -eu
rm -f /tmp/ready
python3 /opt/m0/bin/make_containers.py &
exec node /opt/m0/azurite/azurite-blob.js --blobHost 0.0.0.0 --blobPort 10000 --location /data \
    --skipApiVersionCheck --disableProductStyleUrl --disableTelemetry --silent
