//! Where each structure and chunk lies in the presented file.
