"""What the operator does: intake, reconcile, reporting. Knows the outside only as ports."""
