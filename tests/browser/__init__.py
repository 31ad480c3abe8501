"""A package, so that fixtures of the scope "package" end with it.

Their committed rows would disturb all other tests.
"""
