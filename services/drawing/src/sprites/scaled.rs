//! [`SpriteCache`]: sets of sprites in the sizes that pictures need.

use std::{collections::HashMap, sync::Arc};

use image::RgbaImage;
use parking_lot::Mutex;

use super::{
    name::SetName,
    palette,
    resized::resized,
    set::{SPRITES, SpriteSet},
};

/// Bytes of pixels in the cache, at most: the built-in set in every size of one picture, or in the largest size twenty times.
const CACHE_BYTES: usize = 24 << 20;
/// Up to this height, in device pixels, a set has fewer colours: of a small PNG the palette is a large part.
const SMALL_HEIGHT: u32 = 32;
const SMALL_COLOURS: usize = 64;
/// Most colours of a set. With those of the label, the line and the ground they stay within a palette of 256.
const COLOURS: usize = 208;

/// The sprites of a set in one size.
pub(crate) type ScaledSprites = [Option<RgbaImage>; SPRITES.len()];

/// A set's name, and its height and width factor: pixels of the picture before it is scaled, and device pixels for each.
type CacheKey = (SetName, u32, u32);

/// Sets in the sizes that were needed before. Where there are too many, those go first that nobody has needed for longest.
#[derive(Debug, Default)]
pub(crate) struct SpriteCache {
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    sets: HashMap<CacheKey, CachedSet>,
    bytes: usize,
    /// How often a set has been used, of all sets.
    uses: u64,
}

#[derive(Debug)]
struct CachedSet {
    sprites: Arc<ScaledSprites>,
    /// The number of its last use.
    used: u64,
}

impl Cache {
    fn get(&mut self, key: &CacheKey) -> Option<Arc<ScaledSprites>> {
        self.uses += 1;
        let set = self.sets.get_mut(key)?;
        set.used = self.uses;
        Some(Arc::clone(&set.sprites))
    }

    fn insert(&mut self, key: CacheKey, sprites: Arc<ScaledSprites>) {
        self.bytes += bytes(&sprites);
        self.uses += 1;
        if let Some(same) = self.sets.insert(key, CachedSet { sprites, used: self.uses }) {
            self.bytes -= bytes(&same.sprites);
        }
        while self.bytes > CACHE_BYTES
            && let Some(oldest) = self.sets.iter().min_by_key(|(_, set)| set.used).map(|(key, _)| key.clone())
            && let Some(oldest) = self.sets.remove(&oldest)
        {
            self.bytes -= bytes(&oldest.sprites);
        }
    }
}

fn bytes(sprites: &ScaledSprites) -> usize {
    sprites.iter().flatten().map(|image| image.as_raw().len()).sum()
}

impl SpriteCache {
    /// Whether a set's sprites are there, at a height in pixels, `scale` device pixels for each.
    pub(crate) fn has(&self, name: &SetName, height: u32, scale: u32) -> bool {
        self.cache.lock().sets.contains_key(&(name.clone(), height, scale))
    }

    /// Returns a set's sprites at a height in pixels, `scale` device pixels for each.
    pub(crate) fn scaled(&self, name: &SetName, set: &SpriteSet, height: u32, scale: u32) -> Arc<ScaledSprites> {
        let key = (name.clone(), height, scale);
        if let Some(scaled) = self.cache.lock().get(&key) {
            return scaled;
        }
        // Not under the lock, which other pictures wait for.
        let scaled = Arc::new(scaled(set, height, scale));
        self.cache.lock().insert(key, Arc::clone(&scaled));
        scaled
    }
}

fn scaled(set: &SpriteSet, height: u32, scale: u32) -> ScaledSprites {
    let mut sprite = 0..;
    let mut scaled = set.images.each_ref().map(|image| {
        let width = sprite.next().map_or(0, |sprite| set.width(sprite, height));
        image.as_ref().map(|image| resized(image, width * scale, height * scale))
    });
    let colours = if height * scale <= SMALL_HEIGHT { SMALL_COLOURS } else { COLOURS };
    palette::reduce(&mut scaled, colours);
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded() {
        let cache = SpriteCache::default();
        let (name, set) = (SetName::built_in(), super::super::built_in::built_in());
        for height in 60..=96 {
            for scale in 2..=3 {
                cache.scaled(&name, &set, height, scale);
            }
        }
        let cache = cache.cache.lock();
        assert!(cache.bytes <= CACHE_BYTES && !cache.sets.is_empty());
        assert_eq!(cache.sets.values().map(|set| bytes(&set.sprites)).sum::<usize>(), cache.bytes);
    }

    #[test]
    fn what_is_in_use_stays_in_the_cache() {
        let cache = SpriteCache::default();
        let (name, set) = (SetName::built_in(), super::super::built_in::built_in());
        let used = cache.scaled(&name, &set, 40, 1);
        for height in 60..=96 {
            cache.scaled(&name, &set, height, 3);
            assert!(Arc::ptr_eq(&used, &cache.scaled(&name, &set, 40, 1)), "it was resized again at {height}");
        }
        assert!(!cache.has(&name, 60, 3), "it is full");
    }
}
