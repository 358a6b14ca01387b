# The four Kubernetes programs that run as pods, as one image: kube-proxy needs iptables.
ARG BASE
FROM $BASE
COPY kube/ /usr/local/bin/
