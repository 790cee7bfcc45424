"""Pictures for people: the comparison sheet and the trace."""
