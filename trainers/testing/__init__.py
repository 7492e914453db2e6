"""Support for tests of methods, ensembles and readers, here and in other packages: test suites and a test bench."""
