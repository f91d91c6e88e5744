"""Private swarms: inviting to them, remembering them, telling whether others reach them."""
