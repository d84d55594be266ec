//! Fuzz target: counters' names and the paths that contain them.

use headcount::fuzzing::{counter_ref, sign, signed_counter_ref};
use headcount_presence::{CounterName, fuzzing::state_key_names};

/// The key that signs names.
const KEY: &[u8] = b"sixteen bytes or more";

/// Parses the bytes as a name and as a path. Checks that names follow the documented rule and need no escaping, and that a
/// path leads to the name in it or, if names are signed, to a name signed with the key.
pub fn names(bytes: &[u8]) {
    // hyper passes only valid UTF-8 to the router.
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = CounterName::parse(text) {
        assert_eq!(name.as_str(), text);
        assert!(is_name(text), "{text:?} is a name");
        assert!(state_key_names(&name), "{text:?} does not survive the round trip through its key");
        let signed = sign(&name, KEY).expect("the key is long enough");
        for suffix in ["", ".png", ".jpg", ".jpeg", ".json"] {
            let path = format!("/{text}{suffix}");
            assert_eq!(counter_ref(&path), Some((name.clone(), text.to_owned())), "{path}");
            let path = format!("/{signed}{suffix}");
            assert_eq!(signed_counter_ref(&path, KEY), Some((name.clone(), signed.clone())), "{path}");
        }
    } else {
        assert!(!is_name(text), "{text:?} is not a name");
    }
    if let Some((name, segment)) = counter_ref(text) {
        assert_eq!(name.as_str(), segment);
        assert!(text.trim_start_matches('/').starts_with(&segment), "{text:?} leads to {segment:?}");
        assert_eq!(CounterName::parse(&segment), Ok(name));
    }
    if let Some((name, segment)) = signed_counter_ref(text, KEY) {
        assert_eq!(sign(&name, KEY), Some(segment), "{text:?} is signed");
    }
}

/// The documented rule, independent of its implementation.
fn is_name(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=64).contains(&bytes.len())
        && first(bytes[0])
        && bytes.iter().all(|&byte| first(byte) || matches!(byte, b'.' | b'_' | b'-'))
        && ![".png", ".jpg", ".jpeg", ".svg", ".json"].iter().any(|extension| text.ends_with(extension))
}
