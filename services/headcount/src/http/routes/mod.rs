//! What the public port answers, one file a route.

pub(in crate::http) mod embed_policy;
pub(in crate::http) mod http2_body;
pub(in crate::http) mod page;
pub(in crate::http) mod route;
pub(in crate::http) mod snapshot;
pub(in crate::http) mod stream;
