//! Counters' names, and the addresses that hold them.

use headcount::fuzzing::{counter_ref, sign, signed_counter_ref};
use headcount_presence::{CounterName, fuzzing::state_key_names};

/// Signs names here.
const KEY: &[u8] = b"sixteen bytes or more";

/// The bytes are a path, or a name. Names are what ARCHITECTURE and the pages say they are, nothing in them needs escaping,
/// and an address leads to the name that stands in it, or, where names are signed, to one that was signed with the key.
pub fn names(bytes: &[u8]) {
    // Paths reach the router as hyper leaves them: valid UTF-8.
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = CounterName::parse(text) {
        assert_eq!(name.as_str(), text);
        assert!(is_name(text), "{text:?} is a name");
        assert!(state_key_names(&name), "{text:?} does not come back from its key");
        let signed = sign(&name, KEY).expect("the key is long enough");
        for suffix in ["", ".png", ".jpg", ".jpeg", ".json"] {
            let path = format!("/{text}{suffix}");
            assert_eq!(counter_ref(&path), Some((name.clone(), text.to_owned())), "{path}");
            let path = format!("/{signed}{suffix}");
            assert_eq!(signed_counter_ref(&path, KEY), Some((name.clone(), signed.clone())), "{path}");
        }
    } else {
        assert!(!is_name(text), "{text:?} is no name");
    }
    if let Some((name, address)) = counter_ref(text) {
        assert_eq!(name.as_str(), address);
        assert!(text.trim_start_matches('/').starts_with(&address), "{text:?} leads to {address:?}");
        assert_eq!(CounterName::parse(&address), Ok(name));
    }
    if let Some((name, address)) = signed_counter_ref(text, KEY) {
        assert_eq!(sign(&name, KEY), Some(address), "{text:?} is signed");
    }
}

/// The rule, written once more.
fn is_name(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=64).contains(&bytes.len())
        && first(bytes[0])
        && bytes.iter().all(|&byte| first(byte) || matches!(byte, b'.' | b'_' | b'-'))
        && ![".png", ".jpg", ".jpeg", ".svg", ".json"].iter().any(|extension| text.ends_with(extension))
}
