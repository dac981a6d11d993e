//! Receivers behind TLS, whose certificate the test generates.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    serve::Listener,
};
use bytes::Bytes;
use integration_tests::{Folder, output};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedKey, IsCa, KeyPair,
    generate_simple_self_signed,
};
use tokio::{
    io,
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
    server::TlsStream,
};

use super::{
    LIMIT, SECRET,
    receiver::{Fault, Receiver},
    report, rows,
};
use crate::{command, text};

/// A listener for connections with TLS.
struct Secure {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for Secure {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let Ok((stream, address)) = self.tcp.accept().await else { continue };
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Serves with a certificate for localhost, which is written to `file`. Returns the origin.
async fn serve(app: Router, file: &Path) -> String {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(file, cert.pem()).unwrap();
    serve_with(app, &cert, &signing_key).await
}

/// Serves with this certificate. Returns the origin.
async fn serve_with(app: Router, cert: &Certificate, signing_key: &KeyPair) -> String {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![cert.der().clone()], key).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    let listener = Secure { tcp, tls: Arc::new(config).into() };
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    format!("https://localhost:{port}")
}

/// Runs the command with another file of CA certificates.
fn run_trusting(file: Option<&Path>, arguments: &[&str]) -> std::process::Output {
    let mut command = command();
    command.args(arguments).args(["--secret", SECRET]).stdin(Stdio::null());
    command.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE");
    if let Some(file) = file {
        command.env("SSL_CERT_FILE", file);
    }
    output(command)
}

/// Among the rows are those that write bytes without a client library: a body without an end, a slow
/// one, and one over the limit.
#[test]
fn a_receiver_with_tls_is_probed_like_one_without() {
    let (runtime, folder) = (Runtime::new().unwrap(), Folder::new("probe-tls"));
    let faults = [(Fault::None, None), (Fault::DeclaredLimit, Some("endless-body"))];
    let limit = LIMIT.to_string();
    thread::scope(|scope| {
        for (number, (fault, found)) in faults.into_iter().enumerate() {
            let file = folder.path().join(format!("{number}.pem"));
            let app = Receiver::new(fault, false, StatusCode::UNAUTHORIZED).router();
            let url = format!("{}/hook?token=confidential", runtime.block_on(serve(app, &file)));
            let limit = &*limit;
            scope.spawn(move || {
                let arguments = ["probe", &url, "--scheme", "stripe", "--limit", limit, "--json"];
                let output = run_trusting(Some(&file), &arguments);
                let report = report(&output);
                let failed = rows(&report, "fail");
                let failed: Vec<_> = failed.iter().map(|(id, _)| id.as_str()).collect();
                assert_eq!(failed, Vec::from_iter(found), "{report}");
                assert_eq!(report["url"], url.split('?').next().unwrap());
                assert_eq!(
                    report["passed"].as_u64().unwrap(),
                    30 - failed.len() as u64,
                    "{report}"
                );
            });
        }
    });
}

#[test]
fn a_certificate_that_is_not_trusted_is_named_and_gets_no_request() {
    let (runtime, folder) = (Runtime::new().unwrap(), Folder::new("probe-untrusted"));
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let app = Router::new().fallback(async move || {
        count.fetch_add(1, SeqCst);
    });
    let [file, other] = ["own.pem", "other.pem"].map(|name| folder.path().join(name));
    let origin = runtime.block_on(serve(app.clone(), &file));
    runtime.block_on(serve(app, &other));
    let probe = ["probe", &*origin, "--scheme", "stripe"];
    let output = run_trusting(Some(&other), &probe);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = text(&output.stderr);
    assert!(error.contains("invalid peer certificate"), "{error}");
    assert!(error.contains("SSL_CERT_FILE names a file"), "{error}");
    // The certificate is one for another name.
    let output = run_trusting(
        Some(&file),
        &["probe", &origin.replace("localhost", "127.0.0.1"), "--scheme", "stripe"],
    );
    assert!(text(&output.stderr).contains("not valid for name"), "{output:?}");
    let output = run_trusting(Some(&folder.path().join("none.pem")), &probe);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("no CA certificates: install"), "{output:?}");
    assert_eq!(requests.load(SeqCst), 0);
}

#[test]
fn mistakes_with_tls_are_in_plain_words() {
    let (runtime, folder) = (Runtime::new().unwrap(), Folder::new("probe-mistakes"));
    let file = folder.path().join("ca.pem");
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    fs::write(&file, cert.pem()).unwrap();
    let origin = runtime.block_on(serve_with(Router::new(), &cert, &key));
    // It responds to the bytes of TLS with 400.
    let tcp = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let plain = format!("https://localhost:{}", tcp.local_addr().unwrap().port());
    runtime.spawn(async move { axum::serve(tcp, Router::new()).await.unwrap() });
    for (origin, said) in [
        (&origin, "it is the certificate of a CA, which cannot be that of a server"),
        (&plain, "TLS: the server does not respond with TLS on this port"),
    ] {
        let output = run_trusting(Some(&file), &["probe", origin, "--scheme", "stripe"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(said), "{output:?}");
    }
}

/// It has the same client as `replay`.
#[test]
fn send_trusts_the_same_certificates() {
    let (runtime, folder) = (Runtime::new().unwrap(), Folder::new("send-tls"));
    let file = folder.path().join("ca.pem");
    let app = Router::new().fallback(|headers: HeaderMap, body: Bytes| async move {
        assert!(headers.contains_key("stripe-signature") && body == "{}");
    });
    let origin = runtime.block_on(serve(app, &file));
    let body = folder.path().join("body.json");
    fs::write(&body, "{}").unwrap();
    let arguments = ["send", body.to_str().unwrap(), "--to", &*origin, "--scheme", "stripe"];
    let trusted = run_trusting(Some(&file), &arguments);
    assert_eq!(trusted.status.code(), Some(0), "{trusted:?}");
    let untrusted = run_trusting(None, &arguments);
    assert_eq!(untrusted.status.code(), Some(1), "{untrusted:?}");
}
