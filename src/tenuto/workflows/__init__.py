"""What workflow code is written with, one file a subject; `tenuto.workflow` is the door."""
