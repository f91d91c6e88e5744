"""The refusals of a start that a person may overrule: the codes of their errors."""

NAME_TAKEN = "container_name_taken"
DOES_NOT_FIT = "does_not_fit"
