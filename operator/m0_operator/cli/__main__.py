"""`python -m m0_operator.cli`."""

from m0_operator.cli.main import main

main()
