//! The images of the sample stores: that their bytes stay what they are, and what a reader that is not libhdf5 makes of
//! them.

mod golden;
mod samples;
mod second_opinion;
