"""`python3 hack/cluster <command>`: a local Kubernetes with M0 in it. See `m0_cluster.app`."""

import runpy

# like `python3 -m m0_cluster.app`, from wherever it is called
runpy.run_module("m0_cluster.app", run_name="__main__")
