"""How fast the machine is that the tests run on."""

SLOWER = 3.0
"""How much slower, and busier, than a person's it may be.

What the program promises in seconds is given so much longer. What is only waited for has a limit
of its own, which a program that works never comes to.
"""
