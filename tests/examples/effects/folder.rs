//! A folder for databases.

/// It is cleared away when this is dropped, or its process ends.
pub(crate) struct Folder(integration_tests::Folder);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(integration_tests::Folder::new("effects"))
    }

    pub(crate) fn url(&self, file: &str) -> String {
        format!("sqlite://{}", self.0.path().join(file).display())
    }
}
