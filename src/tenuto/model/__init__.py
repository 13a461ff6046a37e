"""Values only: what is stored, sent and decided about. Imports nothing of ours and does no I/O."""
