//! HDF5 structures as bytes, one file per structure of the specification.
