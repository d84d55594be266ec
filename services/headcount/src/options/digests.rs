//! [`OptionDigests`]: which options two configurations have in different values, without the values.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use clap::ArgMatches;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A digest of each option's value. It outlives the program, so it does not depend on the compiler's hash functions, and it
/// is no value, so that it may be handed on with no thought of secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct OptionDigests(BTreeMap<String, u64>);

impl OptionDigests {
    /// The digests of a command's options.
    pub(super) fn of(command: &clap::Command, matches: &ArgMatches) -> Self {
        let digests = command.get_arguments().filter_map(|arg| {
            let values = matches.try_get_raw(arg.get_id().as_str()).ok().flatten().into_iter().flatten();
            Some((arg.get_long()?.to_owned(), digest(values)))
        });
        Self(digests.collect())
    }

    /// The options that have other values than in `former`. One that only one of two programs knows is not among them.
    pub(crate) fn changed_from(&self, former: &Self) -> Vec<&str> {
        let is_changed = |(name, digest): &(&String, &u64)| former.0.get(*name).is_some_and(|former| former != *digest);
        self.0.iter().filter(is_changed).map(|(name, _)| name.as_str()).collect()
    }
}

/// The first 64 bits of SHA-256.
fn digest<'a>(values: impl Iterator<Item = &'a OsStr>) -> u64 {
    let mut hash = Sha256::new();
    for value in values {
        hash.update(value.as_encoded_bytes());
    }
    hash.finalize().iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte))
}
