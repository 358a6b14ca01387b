#!/bin/sh
# PostgreSQL in the foreground, its data in /data/pg; makes the cluster, the user and the database
# of POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB when there are none.
set -eu
if [ ! -d /data/pg ]; then
    rm -rf /data/new
    umask 077
    printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
    initdb --pgdata=/data/new --username="$POSTGRES_USER" --pwfile=/tmp/password \
        --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync
    rm /tmp/password
    echo "host all all all scram-sha-256" >>/data/new/pg_hba.conf
    echo "CREATE DATABASE \"$POSTGRES_DB\"" | postgres --single -D /data/new postgres >/dev/null
    # Only a cluster that is complete gets the name.
    mv /data/new /data/pg
fi
exec postgres -D /data/pg -c listen_addresses='*' -c unix_socket_directories=/tmp \
    -c shared_buffers=32MB -c max_connections=100 -c jit=off -c log_min_messages=warning
