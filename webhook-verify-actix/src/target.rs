use std::net::SocketAddr;

use actix_web::{
    HttpRequest,
    dev::ServiceRequest,
    http::{Method, Uri, Version},
    test::TestRequest,
};

/// The request line and the peer of a request that the handler consumes. (While a clone of the
/// request exists, actix-web's router panics.)
pub(crate) struct Target {
    method: Method,
    uri: Uri,
    version: Version,
    peer: Option<SocketAddr>,
}

impl Target {
    pub(crate) fn of(request: &ServiceRequest) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            peer: request.peer_addr(),
        }
    }

    /// Returns a request with this target, for the response if a panic dropped the original.
    pub(crate) fn to_request(&self) -> HttpRequest {
        let request = TestRequest::with_uri(&self.uri.to_string())
            .method(self.method.clone())
            .version(self.version);
        match self.peer {
            Some(peer) => request.peer_addr(peer),
            None => request,
        }
        .to_http_request()
    }
}
