"""The codes of starts that were not made: what a person may overrule, and what one has stopped."""

NAME_TAKEN = "container_name_taken"
DOES_NOT_FIT = "does_not_fit"
START_STOPPED = "start_stopped"
