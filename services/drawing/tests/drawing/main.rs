//! Tests of the drawing crate's public interface: properties of all pictures, and some approved pictures.

mod charts;
mod golden;
mod looks;
mod pictures;
mod scripts;
mod sizes;
mod sprites;
mod strategies;
