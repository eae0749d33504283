//! Harness, end-to-end tests, architecture tests and load comparisons.
