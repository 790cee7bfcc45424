"""The tests. A package, so that one of the same name that some library installs is not imported."""
