"""What you run. Each file is one configuration, one flow and a main, named as its verb."""
