use actix_web::http::header::HeaderMap;
use webhook_verify::adapter::Headers;

/// actix-web is on `http` 0.2 and has a header map of its own.
pub(crate) struct ActixHeaders<'m>(pub(crate) &'m HeaderMap);

impl Headers for ActixHeaders<'_> {
    // Looking a name up in this map allocates for names that are not standard ones; comparing a handful does not.
    fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in self.0 {
            f(name.as_str(), value.as_bytes());
        }
    }
}
