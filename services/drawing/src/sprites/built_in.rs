//! The built-in set: glowing wire in glass tubes. `examples/nixie.rs` draws its files.

use super::{
    picture,
    set::{SPRITES, SpriteSet},
};

/// A file for each of [`SPRITES`], in their order.
const FILES: [&[u8]; SPRITES.len()] = [
    include_bytes!("../../sprites/nixie/0.png"),
    include_bytes!("../../sprites/nixie/1.png"),
    include_bytes!("../../sprites/nixie/2.png"),
    include_bytes!("../../sprites/nixie/3.png"),
    include_bytes!("../../sprites/nixie/4.png"),
    include_bytes!("../../sprites/nixie/5.png"),
    include_bytes!("../../sprites/nixie/6.png"),
    include_bytes!("../../sprites/nixie/7.png"),
    include_bytes!("../../sprites/nixie/8.png"),
    include_bytes!("../../sprites/nixie/9.png"),
    include_bytes!("../../sprites/nixie/comma.png"),
    include_bytes!("../../sprites/nixie/dot.png"),
    include_bytes!("../../sprites/nixie/less.png"),
    include_bytes!("../../sprites/nixie/k.png"),
    include_bytes!("../../sprites/nixie/m.png"),
    include_bytes!("../../sprites/nixie/g.png"),
    include_bytes!("../../sprites/nixie/t.png"),
    include_bytes!("../../sprites/nixie/p.png"),
    include_bytes!("../../sprites/nixie/e.png"),
];

/// The built-in set.
pub(super) fn built_in() -> SpriteSet {
    let images = FILES.map(|file| picture::decode(file).expect("the built-in sprites are pictures"));
    SpriteSet::new(images[0].height(), images.map(Some))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_in_order_and_complete() {
        for ((_, name), file) in SPRITES.iter().zip(FILES) {
            let path = format!("{}/sprites/nixie/{name}.png", env!("CARGO_MANIFEST_DIR"));
            assert_eq!(std::fs::read(path).expect(name), file, "{name}");
        }
        let set = built_in();
        assert!(SPRITES.iter().all(|(character, _)| set.sprite(*character).is_some()));
        assert!(set.images.iter().flatten().all(|image| image.height() == set.height));
    }
}
