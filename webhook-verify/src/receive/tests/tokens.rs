//! Lookups of tokens by their digests.

use std::{
    future::{pending, ready},
    sync::{Arc, Mutex},
};

use sha2::{Digest as _, Sha256};

use super::{admit, is_unavailable};
use crate::{
    error::VerifyError,
    key::Secret,
    receive::{Admission, Receiver, Rejection, Tenant},
    request::RequestHead,
    scheme::{self, Scheme},
    verify::{Verifier, VerifierBuilder},
};

const TOKEN: &str = "a29a4f16-989d-48c8-ab54-7b6150733ba1";
const OTHER: &str = "ba4825b6-6718-42f3-a400-ce08a16936bd";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// The result of a lookup.
#[derive(Clone, Copy)]
enum Reply {
    Tokens(&'static [&'static str]),
    Nothing,
    Error,
    Silence,
    Panic,
}

type Digests = Arc<Mutex<Vec<[u8; 32]>>>;

/// Returns a receiver, and the digests that it looks up.
fn receiver(scheme: Scheme, found: Reply) -> (Receiver, Digests) {
    let calls = Digests::default();
    let digests = Arc::clone(&calls);
    let look_up = move |digest: [u8; 32]| {
        digests.lock().unwrap().push(digest);
        async move {
            match found {
                Reply::Tokens(tokens) => {
                    let secrets: Result<Vec<_>, _> =
                        tokens.iter().map(|token| Secret::new(*token)).collect();
                    Ok(Some(Tenant::new("lead.created", secrets?)))
                }
                Reply::Nothing => Ok(None),
                Reply::Error => Err("no connection".into()),
                Reply::Silence => pending().await,
                Reply::Panic => panic!("on purpose"),
            }
        }
    };
    let receiver = Receiver::builder(Verifier::builder(scheme)).token_lookup(look_up);
    (receiver.build().unwrap(), calls)
}

/// The headers, target and body of a request.
type Request<'r> = (Vec<(&'r str, &'r str)>, &'r str, &'r str);

fn send(
    receiver: &Receiver,
    (headers, target, body): &Request<'_>,
) -> Result<Admission, Rejection> {
    admit(receiver, &RequestHead::new(headers).target(target), body)
}

#[track_caller]
fn is_refused(admission: &Result<Admission, Rejection>, reason: VerifyError) {
    match admission {
        Err(Rejection::NotAuthentic(error)) => assert_eq!(*error, reason),
        other => panic!("{other:?}"),
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[test]
fn a_token_is_calls_once_wherever_it_is() {
    let (query, uuid) = (format!("/?token={TOKEN}"), format!("/?uuid={TOKEN}"));
    let form = format!("a=b&token={TOKEN}");
    let percent = format!("token=%61{}", &TOKEN[1..]);
    let requests: [Request<'_>; 7] = [
        (vec![("Token", TOKEN)], "/", "{}"),
        (vec![], &query, ""),
        (vec![], &uuid, "token=in-a-body-that-is-no-form"),
        (vec![FORM], "/", &form),
        (vec![FORM], "/", &percent),
        (vec![("token", TOKEN), FORM], &query, &form),
        (vec![("token", TOKEN)], "/", "a body in two pieces"),
    ];
    for request in requests {
        let (receiver, calls) = receiver(scheme::PIPEFORCE_TOKEN, Reply::Tokens(&[OTHER, TOKEN]));
        let Ok(Admission::Admitted(admitted)) = send(&receiver, &request) else {
            panic!("{request:?}");
        };
        assert_eq!(admitted.delivery().namespace(), Some("lead.created"));
        assert_eq!(admitted.delivery().secret_index(), 1);
        assert_eq!(admitted.delivery().body(), request.2);
        assert_eq!(*calls.lock().unwrap(), [digest(TOKEN)], "{request:?}");
    }
}

#[test]
fn nothing_is_calls_for_a_request_that_cannot_be_right() {
    let query = format!("/?token={OTHER}");
    let form = format!("token={OTHER}");
    let twice = format!("/?token={TOKEN}&uuid={OTHER}");
    let form_twice = format!("token={TOKEN}&token={OTHER}");
    let requests: [(Request<'_>, VerifyError); 9] = [
        ((vec![], "/", "{}"), VerifyError::MissingToken),
        ((vec![FORM], "/", "a=b"), VerifyError::MissingToken),
        ((vec![("token", "")], "/?token=", ""), VerifyError::MissingToken),
        ((vec![("content-type", "text/plain")], "/", &form), VerifyError::MissingToken),
        ((vec![("token", TOKEN)], &query, ""), VerifyError::AmbiguousToken),
        ((vec![("token", TOKEN), FORM], "/", &form), VerifyError::AmbiguousToken),
        ((vec![], &twice, ""), VerifyError::AmbiguousToken),
        ((vec![FORM], "/", &form_twice), VerifyError::AmbiguousToken),
        ((vec![("token", TOKEN), ("Token", TOKEN)], "/", ""), VerifyError::AmbiguousHeader),
    ];
    let (receiver, calls) = receiver(scheme::PIPEFORCE_TOKEN, Reply::Tokens(&[TOKEN, OTHER]));
    for (request, reason) in requests {
        is_refused(&send(&receiver, &request), reason);
    }
    assert!(calls.lock().unwrap().is_empty());
}

#[test]
fn a_token_that_does_not_exist_is_refused_like_one_that_is_wrong() {
    let request: Request<'_> = (vec![("token", TOKEN)], "/", "{}");
    let refused = |found| {
        let (receiver, calls) = receiver(scheme::PIPEFORCE_TOKEN, found);
        let admission = send(&receiver, &request);
        assert_eq!(calls.lock().unwrap().len(), 1);
        is_refused(&admission, VerifyError::TokenMismatch);
        let answer = admission.unwrap_err().answer();
        let headers: Vec<_> = answer.headers().map(|(n, v)| format!("{n}: {v}")).collect();
        (answer.status(), headers, String::from_utf8(answer.body().to_vec()).unwrap())
    };
    let unknown = refused(Reply::Nothing);
    assert_eq!(unknown, refused(Reply::Tokens(&[OTHER])));
    assert_eq!(unknown.0, 401);
}

#[test]
fn a_look_up_that_fails_is_not_the_callers_fault() {
    for found in [
        Reply::Error,
        Reply::Silence,
        Reply::Panic,
        Reply::Tokens(&[]),
        Reply::Tokens(&[" "]),
        Reply::Tokens(&[TOKEN; 9]),
    ] {
        let (receiver, _) = receiver(scheme::PIPEFORCE_TOKEN, found);
        is_unavailable(&send(&receiver, &(vec![("token", TOKEN)], "/", "{}")));
    }
}

#[test]
fn name_and_password_are_calls_together() {
    let (receiver, calls) = receiver(scheme::POSTMARK, Reply::Tokens(&["me:secret"]));
    let admission = send(&receiver, &(vec![("authorization", "Basic bWU6c2VjcmV0")], "/", "{}"));
    assert!(matches!(admission, Ok(Admission::Admitted(_))), "{admission:?}");
    assert_eq!(*calls.lock().unwrap(), [digest("me:secret")]);
    let malformed = send(&receiver, &(vec![("authorization", "Basic *")], "/", "{}"));
    is_refused(&malformed, VerifyError::MalformedSignature);
    assert_eq!(calls.lock().unwrap().len(), 1);
}

#[test]
fn a_scheme_whose_requests_bring_no_token_has_nothing_to_look_up() {
    let built = |verifier: VerifierBuilder| {
        Receiver::builder(verifier).token_lookup(|_| ready(Ok(None))).build().map(|_| ())
    };
    for scheme in [scheme::GITHUB, scheme::PLAID, scheme::NETLIFY] {
        let error = built(Verifier::builder(scheme)).unwrap_err();
        let expected = "token_lookup: the scheme's requests contain no token";
        assert_eq!(error.kind().to_string(), expected);
    }
    let error = built(Verifier::builder(scheme::GITLAB).secret("a secret")).unwrap_err();
    assert_eq!(error.kind().to_string(), "secret: 1 given, at most 0 may be live");
    assert_eq!(built(Verifier::builder(scheme::GITLAB)), Ok(()));
}
