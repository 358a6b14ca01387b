#!/bin/sh
# SeaweedFS with its S3 server on 8333, data in /data, identities in /etc/m0/s3.json.
# /tmp/ready appears once the buckets exist.
#
# Its switches are on unless turned off: it would report usage to its makers, and create a bucket
# that somebody writes to by mistake, which a store in earnest answers with 404.
set -eu
rm -f /tmp/ready
# Eight clients that upload at once had it at 4 GB; with these two it stays below 1 GB. Who comes
# when 64 MB are under way waits; a single object may be larger.
export GOMEMLIMIT=512MiB
python3 /opt/m0/bin/make_buckets.py &
exec weed mini -dir=/data -ip=127.0.0.1 -ip.bind=0.0.0.0 \
    -master.telemetry=false -s3.autoCreateBucket=false -s3.iam=false \
    -s3.concurrentUploadLimitMB=64 \
    -webdav=false -admin.ui=false -s3.port.iceberg=0 -s3.port.lance=0 \
    -master.volumeSizeLimitMB=256 -s3.config=/etc/m0/s3.json
