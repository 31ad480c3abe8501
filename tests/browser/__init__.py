"""A package, so that what is made for it (scope="package") ends with it: the world would be in the way of all other tests."""
