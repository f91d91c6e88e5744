"""The four screens of the full-screen app, and those that lie over them."""
