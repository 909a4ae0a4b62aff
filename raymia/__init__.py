"""Which membership-inference defense, at which strength, costs the least accuracy for the
privacy that you need?
"""

__version__ = "0.1.0"
