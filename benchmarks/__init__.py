"""``make bench``: compare the speed of the service with the minimal work for each task, and with other libraries.

Each figure is a ratio of two measurements in the same run on the same machine.
"""
