//! What is kept: chunks by version, within one memory budget.
