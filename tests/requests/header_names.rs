//! Headers with two names, and headers that come twice: for every preset, without its rows here.

use std::time::Duration;

use integration_tests::{PUBLIC_URL, attacks::NOW, secret_of, verifier_of};
use webhook_verify::{
    RequestHead, Scheme, VerifyError,
    scheme::{Algorithm, Description},
    testing::{SignedRequest, Signer},
};

/// Returns the lines in place of one header, by its name, its alias and its value.
type Change<'f> = dyn Fn(&str, &str, &str) -> Vec<(String, String)> + 'f;

const TIME: Duration = Duration::from_secs(NOW);

/// The meaning of a header to its scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Signature,
    /// An ID or event type that is not signed.
    Label,
    /// The type of a form. A body of another type has no fields.
    ContentType,
    /// A timestamp, a signed ID, another signed header, or one that must have a certain value.
    Required,
}

fn role(scheme: &Scheme, name: &str) -> Role {
    let Description { signatures, id, event_type, .. } = scheme.describe();
    let place = format!("header {name}");
    let is = |known: &Option<String>| known.as_deref() == Some(&*place);
    let is_signature = |known: &String| {
        let known = known.split(':').next().unwrap();
        known == place || known.strip_suffix('*').is_some_and(|start| place.starts_with(start))
    };
    match name {
        _ if signatures.iter().any(is_signature) => Role::Signature,
        _ if is(&id) && !scheme.id_is_signed() => Role::Label,
        _ if is(&event_type) && !scheme.event_type_is_signed() => Role::Label,
        "content-type" => Role::ContentType,
        _ => Role::Required,
    }
}

/// Returns the presets whose requests tests can sign, with a request of each.
fn signed() -> impl Iterator<Item = (&'static Scheme, SignedRequest)> {
    Scheme::presets().filter(|scheme| scheme.algorithm().is_symmetric()).map(|scheme| {
        let signer = Signer::new(scheme.clone(), secret_of(scheme)).unwrap();
        let signer = signer.public_url(PUBLIC_URL).at(TIME).event_type("a.type");
        let signer = signer.parameter("webhook_id", "4JH86294D6297924G");
        (scheme, signer.target("/hook").sample().unwrap())
    })
}

fn judge(scheme: &Scheme, request: &SignedRequest) -> Result<(), VerifyError> {
    let verifier = verifier_of(scheme).clock(|| TIME).build().unwrap();
    let head = RequestHead::new(&request.headers).method(&request.method).target(&request.target);
    verifier.verify(head, request.body.clone()).map(drop)
}

/// Checks the verdict on a request in which a header has two values.
fn check_two_values(scheme: &Scheme, name: &str, value: &str, request: &SignedRequest) {
    let (role, verdict) = (role(scheme, name), judge(scheme, request));
    let what = format!("{} {name} {role:?} {value}: {verdict:?}", scheme.name());
    match (role, verdict) {
        (Role::Label, Ok(()))
        | (
            Role::Signature | Role::Required,
            Err(VerifyError::AmbiguousHeader | VerifyError::AmbiguousToken),
        )
        | (Role::ContentType, Err(_)) => {}
        // The first of two tokens may be malformed.
        (Role::Signature, Err(_)) if scheme.algorithm() == Algorithm::JwtHs256 => {}
        // A list in the request may name the label as signed.
        (Role::Label, Err(VerifyError::AmbiguousHeader))
            if scheme.describe().signed_content.contains("{signed-headers:") => {}
        // A list of signatures may span several lines.
        (Role::Signature, Ok(())) => {
            let mut only = request.clone();
            only.headers.retain(|(_, known)| known == value);
            assert!(judge(scheme, &only).is_err(), "{what}");
        }
        _ => panic!("{what}"),
    }
}

#[test]
fn a_header_with_two_values_is_refused_unless_it_is_a_label() {
    let mut checked = 0;
    for (scheme, request) in signed() {
        assert_eq!(judge(scheme, &request), Ok(()), "{}", scheme.name());
        for (at, (name, value)) in request.headers.iter().enumerate() {
            for (other, is_first) in [(format!("{value}0"), true), ("other".into(), false)] {
                let mut twice = request.clone();
                let line = (name.to_uppercase(), other.clone());
                twice.headers.insert(if is_first { at } else { at + 1 }, line);
                check_two_values(scheme, name, &other, &twice);
                checked += 1;
            }
        }
    }
    assert!(checked > 200, "{checked}");
}

#[test]
fn a_header_may_have_either_of_its_names() {
    let mut presets = 0;
    for (scheme, request) in signed() {
        let aliases = scheme.describe().header_aliases;
        let aliases: Vec<_> = aliases
            .iter()
            .filter(|(name, _)| request.headers.iter().any(|(known, _)| known == name))
            .collect();
        presets += usize::from(!aliases.is_empty());
        let change = |change: &Change<'_>| {
            let mut changed = request.clone();
            changed.headers.clear();
            for (name, value) in &request.headers {
                let alias = aliases.iter().find(|(known, _)| known == name);
                let lines = alias.map(|(_, alias)| change(name, alias, value));
                changed.headers.extend(lines.unwrap_or(vec![(name.clone(), value.clone())]));
            }
            changed
        };
        let line = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let is_valid = |request: SignedRequest, what: &str| {
            assert_eq!(judge(scheme, &request), Ok(()), "{} {what}", scheme.name());
        };
        is_valid(change(&|_, alias, value| vec![line(alias, value)]), "other names");
        let upper = |_: &str, alias: &str, value: &str| vec![line(&alias.to_uppercase(), value)];
        is_valid(change(&upper), "other names in capitals");
        let both =
            |name: &str, alias: &str, value: &str| vec![line(name, value), line(alias, value)];
        is_valid(change(&both), "both names");
        let both =
            |name: &str, alias: &str, value: &str| vec![line(alias, value), line(name, value)];
        is_valid(change(&both), "both names, the other first");
        for (of, _) in &aliases {
            let one = |name: &str, alias: &str, value: &str| {
                vec![line(if name == of { alias } else { name }, value)]
            };
            is_valid(change(&one), "one other name");
            for other in ["other", ""] {
                let apart = |name: &str, alias: &str, value: &str| match name == of {
                    true => vec![line(name, value), line(alias, other)],
                    false => vec![line(name, value)],
                };
                let apart = change(&apart);
                if other.is_empty() && judge(scheme, &apart) == Ok(()) {
                    // An empty signature is none.
                    assert_ne!(role(scheme, of), Role::Required, "{} {of}", scheme.name());
                    continue;
                }
                check_two_values(scheme, of, other, &apart);
            }
        }
    }
    assert!(presets >= 5, "{presets}");
}
