"""Settings of the whole test suite; fixtures live beside the tests that use them."""

from hypothesis import settings

# A parallel run on a busy machine makes any single example slow; pytest-timeout guards the test.
settings.register_profile("tenuto", settings.default, deadline=None)
settings.load_profile("tenuto")
