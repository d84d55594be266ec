//! The image formats, each with the stamp.

pub(crate) mod jpeg;
pub(crate) mod png;
pub(crate) mod svg;
