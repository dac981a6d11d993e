//! The events of Host UK's core-php and core-api.
//!
//! Sources: `WebhookEndpoint::EVENTS` of [core-api](https://github.com/host-uk/core-api) and its
//! successor for the names; the examples on the pages
//! [webhooks](https://github.com/host-uk/core-php/blob/dev/docs/packages/api/webhooks.md) and
//! `webhook-integration` for `post.*`. The data of few events is documented: the other members are
//! in `more`.
//!
//! ```
//! use webhook_verify::payloads::host_uk::{Envelope, Payload};
//!
//! // `Event::data` does the same with a verified event.
//! let body = r#"{"id":"evt_1","type":"bio.created","created_at":"2026-11-22T00:00:00+00:00",
//!     "data":{"bio_id":123,"name":"Zofie"},"workspace_id":null}"#;
//! let envelope = Envelope::from_body(serde_json::from_str(body)?);
//! assert_eq!(envelope.id.as_deref(), Some("evt_1"));
//! let Payload::BioCreated(bio) = envelope.data else { panic!("another event") };
//! assert_eq!(bio.id().map(|id| id.to_string()).as_deref(), Some("123"));
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! On the first page, an event's data is in a member `object`; on the second page and in the code,
//! it is not. The payloads accept both, and `unwrapped` returns the data of either.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{
    Id,
    envelope::{self, Parts},
    macros::{events, objects},
};
use crate::delivery::{Event, ExtractError, FromEvent, from_json};

events! {
    /// The data of a Host UK event, by its type. See the [module](self).
    pub enum Payload by envelope::data {
        /// A workspace was created.
        WorkspaceCreated = "workspace.created": Resource,
        /// A workspace was changed.
        WorkspaceUpdated = "workspace.updated": Resource,
        /// A workspace was deleted.
        WorkspaceDeleted = "workspace.deleted": Resource,
        /// A subscription changed. From the successor's code.
        SubscriptionChanged = "subscription.changed": Resource,
        /// A subscription began.
        SubscriptionCreated = "subscription.created": Resource,
        /// A subscription was changed.
        SubscriptionUpdated = "subscription.updated": Resource,
        /// A subscription was cancelled.
        SubscriptionCancelled = "subscription.cancelled": Resource,
        /// A subscription was renewed.
        SubscriptionRenewed = "subscription.renewed": Resource,
        /// An invoice was created.
        InvoiceCreated = "invoice.created": Resource,
        /// An invoice was paid.
        InvoicePaid = "invoice.paid": Resource,
        /// The payment of an invoice failed.
        InvoiceFailed = "invoice.failed": Resource,
        /// A page of links was created.
        BioCreated = "bio.created": Bio,
        /// A page of links was changed.
        BioUpdated = "bio.updated": Bio,
        /// A page of links was deleted.
        BioDeleted = "bio.deleted": Bio,
        /// The successor's name for [`BioCreated`](Self::BioCreated).
        BiolinkCreated = "biolink.created": Bio,
        /// The successor's name for [`BioUpdated`](Self::BioUpdated).
        BiolinkUpdated = "biolink.updated": Bio,
        /// The successor's name for [`BioDeleted`](Self::BioDeleted).
        BiolinkDeleted = "biolink.deleted": Bio,
        /// A link was created.
        LinkCreated = "link.created": Resource,
        /// A link was changed.
        LinkUpdated = "link.updated": Resource,
        /// A link was deleted.
        LinkDeleted = "link.deleted": Resource,
        /// A link was clicked. This frequent event has to be enabled.
        LinkClicked = "link.clicked": Resource,
        /// A QR code was created.
        QrCodeCreated = "qrcode.created": Resource,
        /// A QR code was scanned. This frequent event has to be enabled.
        QrCodeScanned = "qrcode.scanned": Resource,
        /// A tool of an MCP server was run.
        ToolExecuted = "mcp.tool.executed": ToolExecuted,
        /// A ticket was opened. From the successor's code.
        TicketCreated = "ticket.created": Resource,
        /// A ticket got a reply. From the successor's code.
        TicketReplied = "ticket.replied": Resource,
        /// A post was created. From the documentation.
        PostCreated = "post.created": Post,
        /// A post was changed. From the documentation.
        PostUpdated = "post.updated": Post,
        /// A post was deleted. From the documentation.
        PostDeleted = "post.deleted": Post,
        /// A post was published. From the documentation.
        PostPublished = "post.published": Post,
        /// A post was archived. From the documentation, which has it for any resource.
        PostArchived = "post.archived": Post,
    }
}

objects! {
    /// A resource that is not documented further.
    pub struct Resource {
        /// The resource's ID.
        id: Id,
        /// The resource's name.
        name: String,
        /// The resource, as documented: see [`unwrapped`](Self::unwrapped).
        object: Box<Resource>,
    }

    /// A page of links.
    pub struct Bio {
        /// The page's ID: see [`id`](Self::id).
        bio_id: Id,
        /// The page's ID: see [`id`](Self::id).
        id: Id,
        /// The page's name.
        name: String,
        /// The page's URL.
        url: String,
        /// The page, as documented: see [`unwrapped`](Self::unwrapped).
        object: Box<Bio>,
    }

    /// A run of a tool.
    pub struct ToolExecuted {
        /// The MCP server of the tool.
        server_id: Id,
        /// The tool's name.
        tool_name: String,
        /// The tool's name, in an example of the successor's code.
        tool: String,
        /// The arguments.
        arguments: Map<String, Value>,
        /// Whether the run succeeded.
        success: bool,
        /// The duration of the run, in ms.
        duration_ms: i64,
        /// The error, if the run failed.
        error: String,
    }

    /// A post, in the forms of the examples: itself, in `object`, or in `post`.
    pub struct Post {
        /// The post's ID: see [`id`](Self::id).
        id: Id,
        /// The post's ID: see [`id`](Self::id).
        post_id: Id,
        /// The title.
        title: String,
        /// The post's name in URLs.
        slug: String,
        /// The post's URL.
        url: String,
        /// The status, such as `published`.
        status: String,
        /// The author's ID.
        author_id: Id,
        /// The author.
        author: Author,
        /// The time of publication.
        published_at: String,
        /// Further facts about the post.
        metadata: PostMetadata,
        /// The post, in the form of the page: see [`unwrapped`](Self::unwrapped).
        object: Box<Post>,
        /// The post, in the form of an example: see [`unwrapped`](Self::unwrapped).
        post: Box<Post>,
    }

    /// The author of a post.
    pub struct Author {
        /// The author's ID.
        id: Id,
        /// The author's name.
        name: String,
    }

    /// Further facts about a post.
    pub struct PostMetadata {
        /// The time of publication.
        published_at: String,
        /// The number of words.
        word_count: i64,
    }
}

impl Resource {
    /// Returns the event's resource: the one in `object`, or else this one.
    #[must_use]
    pub fn unwrapped(&self) -> &Self {
        self.object.as_deref().unwrap_or(self)
    }
}

impl Bio {
    /// Returns the event's page: the one in `object`, or else this one.
    #[must_use]
    pub fn unwrapped(&self) -> &Self {
        self.object.as_deref().unwrap_or(self)
    }

    /// Returns the page's ID, from `bio_id` or `id`.
    #[must_use]
    pub fn id(&self) -> Option<&Id> {
        let bio = self.unwrapped();
        bio.bio_id.as_ref().or(bio.id.as_ref())
    }
}

impl Post {
    /// Returns the event's post: the one in `object` or in `post`, or else this one.
    #[must_use]
    pub fn unwrapped(&self) -> &Self {
        let inner = self.object.as_deref().or(self.post.as_deref());
        inner.unwrap_or(self)
    }

    /// Returns the post's ID, from `id` or `post_id`.
    #[must_use]
    pub fn id(&self) -> Option<&Id> {
        let post = self.unwrapped();
        post.id.as_ref().or(post.post_id.as_ref())
    }
}

/// The body of a delivery: an event in its envelope.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Envelope {
    /// The event's ID, which retries share.
    pub id: Option<String>,
    /// The time of the event, in ISO 8601.
    pub created_at: Option<String>,
    /// The workspace of the event, if there is one.
    pub workspace_id: Option<Id>,
    /// The event.
    pub data: Payload,
    /// All other members as sent.
    pub more: Map<String, Value>,
}

impl Envelope {
    /// Reads the envelope from a body, as `Event::data` does from an event. Use it for bodies from
    /// another source, such as a queue. A body that is not an object becomes [`Payload::Other`].
    #[must_use]
    pub fn from_body(body: Value) -> Self {
        let mut parts = Parts::from(body);
        Self {
            id: parts.take("id"),
            created_at: parts.take("created_at"),
            workspace_id: parts.take("workspace_id"),
            data: parts.payload("type", Payload::from_parts),
            more: parts.rest(),
        }
    }
}

/// Reads the whole event, not only its data.
impl FromEvent for Envelope {
    fn from_event(event: &Event) -> Result<Self, ExtractError> {
        from_json(event.raw(), || event.name()).map(Self::from_body)
    }
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = Parts::new(&self.more);
        parts.put("id", self.id.as_ref())?;
        parts.put("type", self.data.event_type())?;
        parts.put("created_at", self.created_at.as_ref())?;
        parts.put("data", Some(&self.data))?;
        parts.put("workspace_id", self.workspace_id.as_ref())?;
        parts.write(serializer)
    }
}
