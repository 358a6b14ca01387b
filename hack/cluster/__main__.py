"""`python3 hack/cluster <command>`: a local Kubernetes with M0 in it. See `m0_cluster.app`."""

import sys

from m0_cluster.app import main

sys.exit(main(sys.argv[1:]))
