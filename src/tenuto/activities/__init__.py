"""The worker side of activities: what is declared, what an attempt knows of itself, and how attempts are run."""
