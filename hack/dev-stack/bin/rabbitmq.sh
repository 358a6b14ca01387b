#!/bin/sh
# RabbitMQ in the foreground, as the current user, its data in /data.
# Its settings and definitions are mounted into /etc/m0.
set -eu
# Erlang reserves memory for as many files as it might open: a container's default is a million.
ulimit -n 4096
export HOME=/data
export RABBITMQ_NODENAME=rabbit@localhost
export RABBITMQ_CONFIG_FILE=/etc/m0/rabbitmq.conf
export RABBITMQ_ENABLED_PLUGINS_FILE=/etc/m0/enabled_plugins
export RABBITMQ_MNESIA_BASE=/data/mnesia
export RABBITMQ_GENERATED_CONFIG_DIR=/data/config
export RABBITMQ_LOG_BASE=/data/log
export RABBITMQ_LOGS=-
export ERL_EPMD_ADDRESS=127.0.0.1
# On few cores, idle schedulers that spin take the time of the others.
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
# Not /usr/sbin's wrapper: that one insists on the user rabbitmq.
exec /usr/lib/rabbitmq/bin/rabbitmq-server
