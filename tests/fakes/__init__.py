"""In-memory stand-ins for the outside; they implement the operator's ports."""
