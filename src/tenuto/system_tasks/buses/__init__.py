"""Event buses: where EVENT tasks publish, and where event handlers hear from. One file a bus."""
