//! Recognizes the requests of another sender by their headers.

use std::cmp::Reverse;

use super::{Place, Scheme};

impl Scheme {
    /// Returns a header in `names` that contains the signature of another preset, and that preset's
    /// name. Ignores case. If there are several such presets, returns the one whose headers fit
    /// best. Returns `None` if `names` contains this scheme's own signature header.
    ///
    /// This compares each name with each preset's headers, so use it for logs only.
    pub(crate) fn other_sender(&self, names: &[&str]) -> Option<(&'static str, &'static str)> {
        let has = |header: &str| names.iter().any(|name| name.eq_ignore_ascii_case(header));
        if self.signature_headers().any(has) {
            return None;
        }
        let misfit = |preset: &Self| {
            let (present, absent): (Vec<_>, Vec<_>) =
                preset.header_names().partition(|name| has(name));
            (absent.len(), Reverse(present.len()))
        };
        let of_preset =
            |preset: &'static Self| preset.signature_headers().map(move |header| (header, preset));
        let others = Self::presets().flat_map(of_preset);
        // Any sender may use `authorization`.
        let sent = others.filter(|(header, _)| *header != "authorization" && has(header));
        let best = sent.min_by_key(|(_, preset)| misfit(preset));
        best.map(|(header, preset)| (header, preset.name()))
    }

    /// Returns whether a header, in lower case, may contain a signature or a token.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn may_sign_in(&self, name: &str) -> bool {
        self.signatures.iter().any(|source| match &source.place {
            Place::Header(header) => **header == *name,
            Place::HeaderPrefix(prefix) => name.starts_with(&**prefix),
            Place::Query(_) | Place::Form(_) | Place::Pointer(_) => false,
        })
    }

    /// Returns the path and query without the parameters that may contain a signature or a token.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn without_proof(&self, path_and_query: &str) -> String {
        let Some((path, query)) = path_and_query.split_once('?') else {
            return path_and_query.to_owned();
        };
        let is_proof = |pair: &&str| {
            let mut decoded = form_urlencoded::parse(pair.as_bytes());
            decoded.next().is_some_and(|(name, _)| {
                let is_place = |place: &Place| matches!(place, Place::Query(it) if **it == *name);
                self.signatures.iter().any(|source| is_place(&source.place))
            })
        };
        let kept: Vec<_> = query.split('&').filter(|pair| !is_proof(pair)).collect();
        format!("{path}?{}", kept.join("&"))
    }

    fn signature_headers(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().filter_map(|source| match &source.place {
            Place::Header(name) => Some(&**name),
            Place::HeaderPrefix(_) | Place::Query(_) | Place::Form(_) | Place::Pointer(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_each_preset_is_recognized_by_another_scheme() {
        let acme = Scheme::builder("acme").signature_header("acme-signature").build().unwrap();
        let mut recognized = 0;
        for preset in Scheme::presets() {
            let signed = preset.signature_headers().any(|header| header != "authorization");
            let headers: Vec<_> = preset.header_names().collect();
            let sent: Vec<_> = headers.iter().map(|name| name.to_ascii_uppercase()).collect();
            let mut names: Vec<_> = sent.iter().map(|name| &**name).collect();
            names.extend(["Host", "Content-Length", "Authorization"]);

            let found = acme.other_sender(&names);
            assert_eq!(found.is_some(), signed, "{}", preset.name());
            assert_eq!(preset.other_sender(&names).filter(|_| signed), None, "{}", preset.name());
            let Some((header, name)) = found else { continue };
            assert!(preset.signature_headers().any(|own| own == header), "{header}");
            let other = Scheme::preset(name).unwrap();
            assert!(other.header_names().eq(preset.header_names()), "{} {name}", preset.name());
            recognized += usize::from(name == preset.name());
        }
        assert!(recognized > 100, "{recognized}");
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    #[test]
    fn a_path_and_query_loses_what_proves_the_request() {
        let scheme = Scheme::shared_header("x-token").unwrap();
        for kept in ["/", "/a?", "/a?token=1&b=%20", "/a?b&c=1&c=2?"] {
            assert_eq!(scheme.without_proof(kept), kept);
        }
        let scheme = Scheme::builder("acme")
            .algorithm(super::super::Algorithm::Token)
            .signature_header("x-token")
            .signature_query("to ken")
            .build()
            .unwrap();
        for (sent, kept) in [
            ("/a?to+ken=1", "/a?"),
            ("/a?b=1&to%20ken=2&c=3", "/a?b=1&c=3"),
            ("/a?t%6F+ken&to+ken=1&to+ken=2&b=to+ken", "/a?b=to+ken"),
            ("/to ken=1?&To+ken=1", "/to ken=1?&To+ken=1"),
        ] {
            assert_eq!(scheme.without_proof(sent), kept);
        }
        for preset in Scheme::presets() {
            for source in preset.signatures.iter() {
                if let Place::Query(name) = &source.place {
                    let sent = format!("/?a=1&{}=proof", &**name);
                    assert_eq!(preset.without_proof(&sent), "/?a=1", "{}", preset.name());
                }
            }
        }
    }

    #[test]
    fn the_headers_of_no_preset_name_none() {
        let names = ["x-forwarded-for", "authorization", "user-agent", "x-unknown-signature"];
        assert_eq!(super::super::GITHUB.other_sender(&names), None);
        assert_eq!(super::super::GITHUB.other_sender(&[]), None);
        let stripe = Some(("stripe-signature", "stripe"));
        assert_eq!(super::super::GITHUB.other_sender(&["stripe-signature"]), stripe);
    }
}
