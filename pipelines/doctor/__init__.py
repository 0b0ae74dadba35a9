"""What this machine and a dataset's file have of what a build needs."""
