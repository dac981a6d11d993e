//! The made-up senders, described with the builder.

use std::time::Duration;

use webhook_verify::{
    Scheme,
    clock::Tolerance,
    scheme::{Algorithm, Encoding, KeyForm, SchemeBuilder, TimeUnit},
};

pub(crate) fn scheme(name: &str) -> Scheme {
    let plain = || Scheme::builder(name).signature_header("X-Sig");
    let in_ms = |builder: SchemeBuilder| builder.timestamp_unit(TimeUnit::Milliseconds);
    let scheme = match name {
        "body-then-time" => {
            in_ms(plain()).timestamp_header("X-Time").signed_content("{body}{timestamp}")
        }
        "method-url" => in_ms(plain())
            .timestamp_header("X-Time")
            .encoding(Encoding::Base64)
            .signed_content("{method}{url}{body:json}{timestamp}"),
        "path-header" => plain().signed_content("{method}\n{path}\n{header:X-Tenant}\n{body}"),
        "in-body" => Scheme::builder(name)
            .signature_pointer("/signature/signature")
            .timestamp_pointer("/signature/timestamp")
            .tolerance(None)
            .signed_content("{timestamp}{json:/signature/token}"),
        "dated-body" => in_ms(plain())
            .timestamp_pointer("/webhookTimestamp")
            .tolerance(Tolerance::symmetric(Duration::from_secs(60))),
        "two-headers" => Scheme::builder(name)
            .signature_header("X-Sig-Primary")
            .signature_header("X-Sig-Secondary")
            .require_header("X-Version", "1")
            .encoding(Encoding::Base64),
        "numbered" => {
            Scheme::builder(name).signature_header_prefix("X-Sig-").encoding(Encoding::Base64)
        }
        "sha1" => plain()
            .algorithm(Algorithm::HmacSha1)
            .encoding(Encoding::Base64)
            .signed_content("{body:json}{url}"),
        "sha512" => plain().algorithm(Algorithm::HmacSha512),
        "hex-key" => plain().key_form(KeyForm::Hex),
        "base64-key" => plain().key_form(KeyForm::Base64).optional_prefix("hmac="),
        "url-safe-pairs" => in_ms(plain())
            .pairs(';', ["s"])
            .timestamp_pair("t")
            .encoding(Encoding::Base64Url)
            .signed_content("{timestamp}.{body}"),
        "body-id" => Scheme::builder(name)
            .signature_query("sig")
            .id_pointer("/id")
            .signed_content("{id}|{body}"),
        other => panic!("{other} is not described"),
    };
    scheme.build().unwrap()
}
