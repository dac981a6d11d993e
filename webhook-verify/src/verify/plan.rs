use crate::scheme::{Origin, Part, Scheme, UrlForm};

/// Facts about a scheme computed once, so that requests skip work they do not need.
pub(crate) struct Plan {
    /// Only the bytes of the body are signed.
    pub(super) body_alone: bool,
    /// The body is signed before all that is derived from it, so MACs can process it on arrival.
    pub(super) streams: bool,
    pub(super) made_of_body: bool,
    pub(super) looks_before_it_judges: bool,
    pub(super) signs_for_anybody: bool,
    pub(super) rare: bool,
    pub(super) reads_forms: bool,
    pub(super) id_is_signed: bool,
    /// The bytes that a signed ID must not contain.
    pub(super) id_delimiters: Box<[u8]>,
}

impl Plan {
    pub(crate) fn new(scheme: &Scheme) -> Self {
        let content = scheme.content.iter();
        let url_forms = content.clone().any(|part| part.facts().url == Some(UrlForm::EitherPort));
        let rare = url_forms || scheme.key_source.is_some() || scheme.body_digest.is_some();
        let ids = content.clone().filter(|part| part.facts().origin == Origin::Id);
        let mut in_body = content.filter(|part| scheme.reads_from_body(part));
        Self {
            body_alone: scheme.content.len() == 1
                && scheme.content.iter().all(Part::is_body)
                && !rare,
            streams: in_body.clone().next().is_some_and(Part::is_body) && !url_forms,
            made_of_body: in_body.any(|part| !part.is_body()),
            reads_forms: scheme.reads_forms(),
            id_is_signed: scheme.id_is_signed(),
            id_delimiters: ids.flat_map(|part| scheme.delimiters_of(part)).collect(),
            looks_before_it_judges: scheme.looks_before_it_judges(),
            signs_for_anybody: scheme.signs_for_anybody(),
            rare,
        }
    }
}
