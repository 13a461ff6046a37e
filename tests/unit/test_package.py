"""The package says which version it is, and the installed metadata agrees."""

from importlib import metadata, resources

import tenuto


def test_version_is_that_of_the_installed_distribution() -> None:
    assert tenuto.__version__ == metadata.version("tenuto")


def test_package_is_marked_as_typed() -> None:
    assert resources.files("tenuto").joinpath("py.typed").is_file()
