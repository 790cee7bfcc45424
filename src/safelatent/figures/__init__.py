"""Pictures for people: the comparison sheet, the trace, thumbnails."""
