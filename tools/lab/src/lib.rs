//! Servers that the tests run against: [`s3`], an S3 held in memory with regions, policies and a ledger of every
//! request, and [`proxy`], which stands before any HTTP server and injects what networks and services do.
//!
//! Both are for loopback and for tests: they trust whoever can reach them, and `/__…` paths set what they do next.
//! Their neighbours are the context managers in `tests/python/servers`, which start and end them.

pub mod clock;
pub mod ledger;
pub mod proxy;
pub mod s3;
