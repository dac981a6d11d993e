use actix_web::http::header::HeaderMap;
use webhook_verify::adapter::Headers;

/// Adapts the header map of actix-web, which is its own and based on `http` 0.2.
pub(crate) struct ActixHeaders<'m>(pub(crate) &'m HeaderMap);

impl Headers for ActixHeaders<'_> {
    // A lookup in this map allocates if the name is not a standard one. A comparison does not.
    fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in self.0 {
            f(name.as_str(), value.as_bytes());
        }
    }
}
