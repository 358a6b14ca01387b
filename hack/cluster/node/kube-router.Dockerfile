# It calls iptables and ipset.
ARG BASE
FROM $BASE
COPY kube-router /usr/local/bin/
