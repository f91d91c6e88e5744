"""What goes wrong for people: printed string, cause, remedy."""
