//! HTTP: the listener, layers, request bodies, and routes.

pub(crate) mod ask;
pub(crate) mod body;
pub(crate) mod clients;
pub(crate) mod example;
pub(crate) mod guard;
pub(crate) mod layers;
pub(crate) mod prepare;
pub(crate) mod request;
pub(crate) mod routes;
pub(crate) mod server;
pub(crate) mod source;
pub(crate) mod told;
