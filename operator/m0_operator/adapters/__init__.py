"""Foreign APIs and their errors end here."""
