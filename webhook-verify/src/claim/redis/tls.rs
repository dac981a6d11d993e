//! Configures TLS connections.

use redis::{
    Client, ConnectionInfo, RedisResult, cluster::ClusterClientBuilder,
    sentinel::SentinelClientBuilder,
};

/// The certificates that the user set. There are none without the feature `redis-tls`.
#[derive(Clone)]
pub(super) struct Tls {
    #[cfg(feature = "redis-tls")]
    certificates: redis::TlsCertificates,
}

#[cfg(not(feature = "redis-tls"))]
impl Tls {
    pub(super) fn new() -> Self {
        Self {}
    }

    pub(super) fn is_set(&self) -> bool {
        false
    }

    pub(super) fn choose_provider() {}

    pub(super) fn server(&self, info: ConnectionInfo) -> RedisResult<Client> {
        Client::open(info)
    }

    pub(super) fn cluster(&self, builder: ClusterClientBuilder) -> ClusterClientBuilder {
        builder
    }

    pub(super) fn sentinel(&self, builder: SentinelClientBuilder) -> SentinelClientBuilder {
        builder
    }
}

#[cfg(feature = "redis-tls")]
impl Tls {
    pub(super) fn new() -> Self {
        Self { certificates: redis::TlsCertificates { client_tls: None, root_cert: None } }
    }

    pub(super) fn set_root(&mut self, pem: Vec<u8>) {
        self.certificates.root_cert = Some(pem);
    }

    pub(super) fn set_client(&mut self, client_cert: Vec<u8>, client_key: Vec<u8>) {
        self.certificates.client_tls = Some(redis::ClientTlsConfig { client_cert, client_key });
    }

    pub(super) fn is_set(&self) -> bool {
        self.certificates.root_cert.is_some() || self.certificates.client_tls.is_some()
    }

    /// Installs ring as the process's default `CryptoProvider`, unless there is one. Without this,
    /// the driver panics if the program's dependencies enable several providers.
    pub(super) fn choose_provider() {
        use rustls::crypto::{CryptoProvider, ring};
        if CryptoProvider::get_default().is_none() {
            // Another thread may have installed one.
            let _ = ring::default_provider().install_default();
        }
    }

    pub(super) fn server(&self, info: ConnectionInfo) -> RedisResult<Client> {
        if self.is_set() {
            Client::build_with_tls(info, self.certificates.clone())
        } else {
            Client::open(info)
        }
    }

    pub(super) fn cluster(&self, builder: ClusterClientBuilder) -> ClusterClientBuilder {
        if self.is_set() { builder.certs(self.certificates.clone()) } else { builder }
    }

    pub(super) fn sentinel(&self, builder: SentinelClientBuilder) -> SentinelClientBuilder {
        if self.is_set() {
            builder
                .set_client_to_redis_certificates(self.certificates.clone())
                .set_client_to_sentinel_certificates(self.certificates.clone())
        } else {
            builder
        }
    }
}
