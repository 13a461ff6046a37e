"""Helper processes in which the scripts of workflow definitions run, under limits that kill."""
