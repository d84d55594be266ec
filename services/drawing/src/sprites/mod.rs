//! Sprites: pictures of digits, in sets with names. One set is built in, others come from an operator's folder.

mod built_in;
mod folder;
mod name;
mod palette;
mod picture;
mod resized;
mod scaled;
mod set;
mod sets;

pub use folder::SpriteErrors;
pub use name::SetName;
pub(crate) use scaled::SpriteCache;
pub use set::SpriteSet;
pub use sets::SpriteSets;
