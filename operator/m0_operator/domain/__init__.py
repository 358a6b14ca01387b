"""Pure: from what was observed to what is to be done. No clients, no clock, no environment."""
