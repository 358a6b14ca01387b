"""The operator in a world of its own: virtual time, one seed, every fault that we could think of.

`run.run_seed(seed)` is one run; `python -m simulation` (or `make simulate`) is many. The
operator is the real one, `m0_operator.app.App` as the program starts it; only what `app`
takes from outside (API server, broker, backend, clock, kopf's watch) is in memory here.
The same seed gives the same run, to the letter.

    loop, process      virtual time; a process that can be killed and frozen at every await
    faults             what goes wrong in a run, drawn from its seed
    network            a call: lost, delayed, answered too late or never
    apiserver, jobs, kubelet, broker, backend    those that answer
    cluster, wire      the operator's ports to them
    people             who publish, replay, delete, stop, suspend
    ledger, checks     what must hold at every effect, and at the end
    incarnation, run   the operator put together, and a whole run
"""
