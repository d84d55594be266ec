//! Reads sets of sprites from a folder, and finds everything that is wrong with it.
//!
//! The folder has a folder for each set, which has the set's name. That has a file for each digit, `0.png` to `9.png`, and may
//! have others (see [`SPRITES`]). What has no such name is left alone: sets come with licences and previews.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use image::RgbaImage;

use super::{
    name::SetName,
    picture,
    set::{DIGITS, SPRITES, SpriteSet},
    sets::SpriteSets,
};

/// Most bytes of a file.
const MOST_FILE_BYTES: u64 = 256 << 10;
/// Most sets in a folder, and most bytes of all their pixels, as many as are in the files: some 200 KB a set is usual.
const MOST_SETS: usize = 64;
const MOST_BYTES: usize = 64 << 20;
/// Most entries that are read of one folder.
const MOST_ENTRIES: usize = 4096;
/// Most mistakes that are listed.
const MOST_MISTAKES: usize = 50;

/// Everything that is wrong with a folder of sprites: a sentence each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpriteErrors(Vec<String>);

impl SpriteErrors {
    fn add(&mut self, mistake: String) {
        match self.0.len() {
            0..MOST_MISTAKES => self.0.push(mistake),
            MOST_MISTAKES => self.0.push("and there is more that is wrong".to_owned()),
            _ => {}
        }
    }

    /// The sentences, of which there is at least one, and at most 51.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for SpriteErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for SpriteErrors {}

impl SpriteSets {
    /// Reads the sets of a folder. The built-in set is there besides. They take at most 84 MiB, however
    /// large the files are. Those that are higher than any picture are reduced.
    ///
    /// # Errors
    /// Fails with everything that is wrong: sets without a digit, files that are no pictures or cannot be read, and whatever is
    /// too large.
    pub fn read(folder: &Path) -> Result<SpriteSets, SpriteErrors> {
        let (mut sets, mut errors) = (SpriteSets::built_in(), SpriteErrors::default());
        let (mut found, mut bytes) = (0, 0);
        for path in entries(folder, "it", &mut errors).unwrap_or_default() {
            let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if file_name.starts_with('.') {
                continue;
            }
            if !path.is_dir() {
                if let Some(sprite) = sprite_of(&path) {
                    let name = SPRITES[sprite].1;
                    errors.add(format!("{file_name:?} is in no set: {name} belongs into a folder with the set's name"));
                }
                continue;
            }
            found += 1;
            if found > MOST_SETS || bytes > MOST_BYTES {
                continue;
            }
            let Some(name) = SetName::parse(&file_name) else {
                errors.add(format!("the folder {file_name:?} cannot name a set, which has {}", SetName::ALLOWED));
                continue;
            };
            if let Some(set) = read_set(&name, &path, &mut errors) {
                bytes += set.bytes();
                sets.insert(name, set.reduced());
            }
        }
        if found > MOST_SETS {
            errors.add(format!("it has {found} sets: at most {MOST_SETS} are allowed"));
        }
        if bytes > MOST_BYTES {
            let most = MOST_BYTES >> 20;
            errors.add(format!("its sets have more than {most} MiB of pixels: make them fewer or smaller"));
        }
        if found == 0 && errors.0.is_empty() {
            errors.add("it has no set: put the pictures 0 to 9 of a set into a folder with the set's name".to_owned());
        }
        if errors.0.is_empty() { Ok(sets) } else { Err(errors) }
    }
}

/// The paths in a folder, in their order. `None` if they cannot be read. `subject` is what errors call it.
fn entries(folder: &Path, subject: &str, errors: &mut SpriteErrors) -> Option<Vec<PathBuf>> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.take(MOST_ENTRIES + 1).map(|entry| Ok(entry?.path())).collect()
    };
    match read() {
        Ok(mut paths) if paths.len() <= MOST_ENTRIES => {
            paths.sort();
            Some(paths)
        }
        Ok(_) => {
            errors.add(format!("{subject} has more than {MOST_ENTRIES} files: this is no folder of sprites"));
            None
        }
        Err(error) => {
            errors.add(format!("{subject} cannot be read: {error}"));
            None
        }
    }
}

/// The sprite that a file of this name is, whatever its extension.
fn sprite_of(path: &Path) -> Option<usize> {
    let stem = path.file_stem()?.to_str()?;
    path.extension()?;
    SPRITES.iter().position(|(_, name)| *name == stem)
}

/// Reads one set. Returns `None` if something is wrong with it.
fn read_set(name: &SetName, folder: &Path, errors: &mut SpriteErrors) -> Option<SpriteSet> {
    let before = errors.0.len();
    let mut files: [Option<String>; SPRITES.len()] = Default::default();
    let mut images: [Option<RgbaImage>; SPRITES.len()] = Default::default();
    for path in entries(folder, name.as_str(), errors)? {
        let Some(sprite) = sprite_of(&path) else { continue };
        let file = format!("{name}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if let Some(other) = &files[sprite] {
            errors.add(format!("{file} and {other} are the same sprite: one of them must go"));
            continue;
        }
        match read_file(&path).and_then(|bytes| picture::decode(&bytes)) {
            Ok(image) => images[sprite] = Some(image),
            Err(mistake) => errors.add(format!("{file} {mistake}")),
        }
        files[sprite] = Some(file);
    }
    let missing: Vec<&str> = SPRITES
        .iter()
        .zip(&files)
        .take(DIGITS)
        .filter(|(_, file)| file.is_none())
        .map(|((_, name), _)| *name)
        .collect();
    if !missing.is_empty() {
        errors.add(format!("{name} lacks {}: a set has a picture of each digit, as 0.png", missing.join(", ")));
    }
    let sized =
        || images.iter().zip(&files).filter_map(|(image, file)| Some((image.as_ref()?.height(), file.as_ref()?)));
    let (height, first) = sized().next()?;
    for (other, file) in sized().filter(|(other, _)| *other != height) {
        errors.add(format!("{file} is {other} pixels high, and {first} {height}: all of a set must be equally high"));
    }
    (errors.0.len() == before).then(|| SpriteSet::new(height, images))
}

/// Reads a file that is not too large, if it is a file: opening a pipe would wait for ever.
fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(unreadable)?.take(MOST_FILE_BYTES + 1);
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_FILE_BYTES {
        return Err(format!("is larger than {} KiB", MOST_FILE_BYTES >> 10));
    }
    Ok(bytes)
}
