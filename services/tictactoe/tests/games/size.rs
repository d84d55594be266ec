//! How large the service is: it shows what little a service on these crates needs.

use std::{fs, path::Path};

/// Lines of Rust and Lua, without tests, comments and empty lines.
const MAX_LINES: usize = 600;

#[test]
fn the_service_has_at_most_600_lines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut lines = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let Some("rs" | "lua") = path.extension().and_then(|extension| extension.to_str()) else { continue };
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]");
        lines += code.filter(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with("--")).count();
    }
    println!("{lines} lines");
    assert!((1..=MAX_LINES).contains(&lines), "{lines} lines");
}
