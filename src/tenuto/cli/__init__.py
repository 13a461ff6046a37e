"""The `tenuto` command, one file a verb group. `main` is the entry."""
