//! Use cases: each a struct with its ports, each with one error enum.
