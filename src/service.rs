//! Build the house, mount, wait for a signal, drain, unmount.
