//! The drawing crate from outside: what any look and any figure must hold to, and what some of them look like.

mod golden;
mod looks;
mod pictures;
mod scripts;
mod sizes;
mod strategies;
