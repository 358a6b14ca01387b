"""The words that the programs of M0 and the services around it share.

Messages, the custom resource, object keys, failure codes and exit codes: what
crosses a process boundary is defined here, once. Pydantic only; no client
library, no clock, no environment.
"""
