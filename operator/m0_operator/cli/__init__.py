"""The command line `m0`: what people do with M0 from a terminal.

`main` finds the command and its errors' exit codes; `videos`, `control`, `letters` and `state`
are the commands; `port` is all that they know of M0, `cluster` and `gateway` are behind it.
"""
