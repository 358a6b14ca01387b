"""Brings up a kind cluster with M0 and its dev stack, with or without an image registry.

    app        the commands, in the order their steps run
    settings   paths, names, versions, ports: each constant and environment variable
    shell      running a process: step, heartbeat, log, failure, two at once, trying again
    system     Debian packages, root, processes by pid
    engine     a Docker engine: the user's, or one of our own
    runc_bounded  what our own engine runs containers with where a capability is missing
    gotools    Go programs, built from pinned modules into the cache
    registry   whether there is an image registry
    tools      kind, helm, kubectl: which ones, and .m0/bin
    debian     Debian root file systems, imported as images
    node       the kind node image, built where no registry has one
    cluster    the kind cluster: create, revive, recreate, delete
    images     M0's images: build, load
    charts     M0's charts: install, wait
    report     what a person asks: status, logs, dev.env

Standard library only: it runs before anything else is installed.
"""
