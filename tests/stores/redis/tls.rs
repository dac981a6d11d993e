//! Claims behind TLS, with a certificate authority of the test.

use std::fs;

use integration_tests::Folder;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::*;

/// A certificate authority, and a certificate for 127.0.0.1, as PEM text in files.
struct Certificates {
    folder: Folder,
}

impl Certificates {
    fn new() -> Self {
        let folder = Folder::new("tls");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        for (name, pem) in [
            ("ca.pem", authority.pem()),
            ("cert.pem", certificate.pem()),
            ("key.pem", key.serialize_pem()),
        ] {
            fs::write(folder.path().join(name), pem).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn pem(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

/// Starts a server that requires a client certificate on its port for TLS, and returns its URL.
fn start(files: &Certificates, options: &[&str]) -> (RedisServer, String) {
    let port = RedisServer::stopped(&[]).port().to_string();
    let (ca, cert, key) = (files.path("ca.pem"), files.path("cert.pem"), files.path("key.pem"));
    let tls = ["--tls-port", &port, "--tls-ca-cert-file", &ca];
    let own = ["--tls-cert-file", &cert, "--tls-key-file", &key];
    let server = RedisServer::start_with(&[&tls, &own, options].concat());
    (server, format!("rediss://127.0.0.1:{port}"))
}

#[tokio::test]
async fn a_server_behind_tls() {
    let (files, others) = (Certificates::new(), Certificates::new());
    let (server, url) = start(&files, &[]);
    let connect = |url: &str| RedisStore::connect(url).timeout(PATIENCE / 2);
    let client = (files.pem("cert.pem"), files.pem("key.pem"));
    let with_client = |files: &Certificates| {
        let connect = connect(&url).root_certificates(files.pem("ca.pem"));
        connect.client_certificate(client.0.clone(), client.1.clone())
    };
    let store = with_client(&files).await.unwrap();
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
    assert!(server.command("DBSIZE").starts_with(":1"));

    let name = url.replace("rediss://", "redis at ");
    for (wrong, text) in [
        (connect(&url), "invalid peer certificate: UnknownIssuer"),
        (with_client(&others), "invalid peer certificate: "),
        (connect(&url).root_certificates(files.pem("ca.pem")), "CertificateRequired"),
    ] {
        let error = fails(wrong.into_future()).await;
        assert!(error.starts_with(&name) && error.contains(text), "{error}");
    }
    let local = url.replace("127.0.0.1", "localhost");
    let connect_local = connect(&local).root_certificates(files.pem("ca.pem"));
    let error = fails(connect_local.into_future()).await;
    assert!(error.contains("not valid for name \"localhost\""), "{error}");
    for (wrong, text) in [
        (connect(&server.url()).root_certificates(files.pem("ca.pem")), "need rediss://"),
        (connect(&url).root_certificates("-----BEGIN CERTIFICATE-----\nx"), "root certificate"),
        (connect(&url).client_certificate("", files.pem("ca.pem")), "private key"),
    ] {
        let error = fails(wrong.into_future()).await;
        assert!(error.contains(text), "{error}");
    }
}

/// A cluster of one node, whose redirections name its port for TLS.
#[tokio::test]
async fn a_cluster_behind_tls() {
    let files = Certificates::new();
    let bus = RedisServer::stopped(&[]).port().to_string();
    let options = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", &bus];
    let (server, url) = start(&files, &options);
    server.command("CLUSTER ADDSLOTSRANGE 0 16383");
    let connect = RedisStore::connect_cluster([url]).root_certificates(files.pem("ca.pem"));
    let connect = connect.client_certificate(files.pem("cert.pem"), files.pem("key.pem"));
    let store = answered(|| connect.clone().into_future()).await;
    let claims: Vec<_> = (0..20).map(request).collect();
    assert_eq!(store.claim(&claims).await.unwrap(), [won(1); 20]);
}
