//! Recorded requests that are signed again, years later.

use std::{collections::BTreeSet, time::Duration};

use integration_tests::Vector;
use webhook_verify::{
    Delivery, RequestHead, Scheme, Secret, Verifier, VerifyError,
    testing::{SignedRequest, Signer},
};

const LATER: Duration = Duration::from_secs(2_000_000_000);

fn scheme_of(row: &Vector) -> Scheme {
    match &row.header {
        Some(header) => Scheme::shared_header(header).unwrap(),
        None => Scheme::preset(&row.scheme).unwrap(),
    }
}

/// Returns a signer with the row's secret, or a generated key pair.
fn signer_of(row: &Vector) -> Signer {
    let scheme = scheme_of(row);
    let signer = match scheme.algorithm().is_symmetric() {
        true => Signer::new(scheme, row.secret.as_str()).unwrap(),
        false => Signer::generate(scheme).unwrap(),
    };
    let signer = signer.at(LATER).public_url(row.public_url());
    row.parameters.iter().fold(signer, |signer, (name, value)| signer.parameter(name, value))
}

fn verify(row: &Vector, secret: &Secret, signed: &SignedRequest) -> Result<Delivery, VerifyError> {
    let verifier = Verifier::builder(scheme_of(row))
        .secret(secret.clone())
        .public_url(row.public_url())
        .clock(|| LATER);
    let parameters = row.parameters.iter();
    let verifier =
        parameters.fold(verifier, |verifier, (name, value)| verifier.parameter(name, value));
    let head = RequestHead::new(&signed.headers).method(&signed.method).target(&signed.target);
    verifier.build().unwrap().verify(head, signed.body.clone())
}

fn valid_rows() -> impl Iterator<Item = Vector> {
    Vector::all().into_iter().filter(|row| row.expect == "valid")
}

#[test]
fn each_valid_request_is_valid_again() {
    let (mut signed_again, mut schemes) = (0, BTreeSet::new());
    let (mut refused, mut wrong) = (BTreeSet::new(), Vec::new());
    for row in valid_rows() {
        // One of each is enough, because signing with private keys takes long.
        let is_symmetric = scheme_of(&row).algorithm().is_symmetric();
        if !is_symmetric && schemes.contains(&row.scheme) {
            continue;
        }
        let before = row.verifier().unwrap().verify(row.head(), row.body()).unwrap();
        let signer = signer_of(&row);
        let signed = match signer.sign_again(row.head(), row.body()) {
            Ok(signed) => signed,
            Err(error) => {
                refused.insert((row.scheme.clone(), error.to_string()));
                continue;
            }
        };
        match verify(&row, signer.secret(), &signed) {
            Ok(delivery) => assert_eq!(delivery.id(), before.id(), "{} {}", row.scheme, row.name),
            Err(error) => wrong.push(format!("{}, {}: {error}", row.scheme, row.name)),
        }
        signed_again += 1;
        schemes.insert(row.scheme);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(signed_again > 1600 && schemes.len() > 220, "{signed_again} {}", schemes.len());
    let multipart = "body: multipart/form-data cannot be signed again";
    let known =
        ["forgejo", "gitea", "gogs", "mailgun", "dropbox-sign"].map(|name| (name, multipart));
    let form = "body: a form, in which /event/event_hash cannot be replaced";
    let known = BTreeSet::from_iter(known.into_iter().chain([("dropbox-sign", form)]));
    let known: BTreeSet<_> =
        known.into_iter().map(|(scheme, error)| (scheme.to_owned(), error.to_owned())).collect();
    assert_eq!(refused, known);
}

/// Whatever the scheme does not sign or check stays as it was sent.
#[test]
fn other_headers_and_other_bytes_of_the_body_stay() {
    let is_kept = |row: &Vector, signed: &SignedRequest| {
        let kept = |name: &str, value: &str| {
            signed.headers.iter().any(|(known, is)| known.eq_ignore_ascii_case(name) && is == value)
        };
        let head = RequestHead::new(&row.headers);
        ["content-type", "user-agent", "x-trace"]
            .iter()
            .all(|name| head.header(name).is_none_or(|value| kept(name, value)))
    };
    let mut same_bodies = 0;
    for mut row in valid_rows().filter(|row| scheme_of(row).algorithm().is_symmetric()) {
        row.headers.push(("X-Trace".into(), "a, b".into()));
        if scheme_of(&row).describe().signed_content.contains("{signed-headers") {
            continue;
        }
        let Ok(signed) = signer_of(&row).sign_again(row.head(), row.body()) else { continue };
        assert!(is_kept(&row, &signed), "{} {}", row.scheme, row.name);
        assert_eq!(signed.method, row.method);
        same_bodies += usize::from(signed.body == row.body());
    }
    assert!(same_bodies > 1400, "{same_bodies}");
}

#[test]
fn only_the_values_in_the_body_change() {
    let body = "{ \"b\":1.10 ,\n\"at\" : 1, \"id\": \"x\", \"sig\" :\"old\", \"z\":\"\\u00fc\" }";
    let acme = Scheme::builder("acme")
        .signature_pointer("/sig")
        .timestamp_pointer("/at")
        .id_pointer("/id")
        .signed_content("{json:/at}|{json:/id}|{json:/b}")
        .build()
        .unwrap();
    let signer = Signer::new(acme.clone(), "secret").unwrap().at(LATER);
    let headers: [(&str, &str); 0] = [];
    let signed = signer.sign_again(RequestHead::new(&headers), body).unwrap();
    let text = std::str::from_utf8(&signed.body).unwrap();
    let (start, rest) = text.split_once("\"sig\" :\"").unwrap();
    assert_eq!(start, "{ \"b\":1.10 ,\n\"at\" : 2000000000, \"id\": \"x\", ");
    let (signature, end) = rest.split_once('"').unwrap();
    assert_eq!((signature.len(), end), (64, ", \"z\":\"\\u00fc\" }"));
    let verifier = Verifier::builder(acme).secret("secret").clock(|| LATER).build().unwrap();
    assert!(verifier.verify(&signed.headers, signed.body.clone()).is_ok());
    let other = signer.id("y\"").sign_again(RequestHead::new(&headers), body).unwrap();
    assert!(std::str::from_utf8(&other.body).unwrap().contains("\"id\": \"y\\\"\""));
}

#[test]
fn an_id_is_replaced_where_the_scheme_has_it() {
    let (mut replaced, mut refused) = (0, 0);
    for row in valid_rows().filter(|row| scheme_of(row).algorithm().is_symmetric()) {
        let signer = signer_of(&row).id("4711");
        let had_id = row.verifier().unwrap().verify(row.head(), row.body()).unwrap().id().is_some();
        match signer.sign_again(row.head(), row.body()) {
            Ok(signed) if scheme_of(&row).describe().id.is_some() => {
                let delivery = verify(&row, signer.secret(), &signed).unwrap();
                let id = delivery.id();
                assert!(!had_id || id.as_deref() == Some("4711"), "{} {}", row.scheme, row.name);
                replaced += usize::from(id.is_some());
            }
            Ok(_) => {}
            Err(error) => refused += usize::from(error.to_string().starts_with("id: ")),
        }
    }
    assert!(replaced > 500 && refused > 300, "{replaced} {refused}");
}
