//! The HSDS storage schema.
