//! The events of Host UK's core-php and core-api.
//!
//! Sources: `WebhookEndpoint::EVENTS` of [core-api](https://github.com/host-uk/core-api) and its successor for the names;
//! the pages [webhooks](https://github.com/host-uk/core-php/blob/dev/docs/packages/api/webhooks.md) and
//! `webhook-integration` for `post.*`, which are their examples. What an event's data has is said for few of them: the rest
//! is in `more`.
//!
//! ```
//! use webhook_verify::payloads::host_uk::{Envelope, Payload};
//!
//! // what `Event::data` does with a verified event
//! let body = r#"{"id":"evt_1","type":"bio.created","created_at":"2026-11-22T00:00:00+00:00",
//!     "data":{"bio_id":123,"name":"Zofie"},"workspace_id":null}"#;
//! let envelope = Envelope::from_body(serde_json::from_str(body)?);
//! assert_eq!(envelope.id.as_deref(), Some("evt_1"));
//! let Payload::BioCreated(bio) = envelope.data else { panic!("another event") };
//! assert_eq!(bio.id().map(|id| id.to_string()).as_deref(), Some("123"));
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! The first page has an event's data in a member `object`, the second and the code have it as it is. The payloads take both:
//! `unwrapped` looks into it.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{
    Id,
    envelope::{self, Parts},
    macros::{events, objects},
};
use crate::delivery::{Event, ExtractError, FromEvent, from_json};

events! {
    /// What a Host UK event says, by its type. See the [module](self).
    pub enum Payload by envelope::data {
        /// A workspace was created.
        WorkspaceCreated = "workspace.created": Resource,
        /// A workspace was changed.
        WorkspaceUpdated = "workspace.updated": Resource,
        /// A workspace was deleted.
        WorkspaceDeleted = "workspace.deleted": Resource,
        /// A subscription changed. Of the successor's code.
        SubscriptionChanged = "subscription.changed": Resource,
        /// A subscription began.
        SubscriptionCreated = "subscription.created": Resource,
        /// A subscription was changed.
        SubscriptionUpdated = "subscription.updated": Resource,
        /// A subscription was cancelled.
        SubscriptionCancelled = "subscription.cancelled": Resource,
        /// A subscription goes on.
        SubscriptionRenewed = "subscription.renewed": Resource,
        /// An invoice was made out.
        InvoiceCreated = "invoice.created": Resource,
        /// An invoice was paid.
        InvoicePaid = "invoice.paid": Resource,
        /// An invoice could not be collected.
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
        /// A link was clicked. There are many of these, so they have to be asked for.
        LinkClicked = "link.clicked": Resource,
        /// A QR code was created.
        QrCodeCreated = "qrcode.created": Resource,
        /// A QR code was scanned. There are many of these, so they have to be asked for.
        QrCodeScanned = "qrcode.scanned": Resource,
        /// A tool of an MCP server was run.
        ToolExecuted = "mcp.tool.executed": ToolExecuted,
        /// A ticket was opened. Of the successor's code.
        TicketCreated = "ticket.created": Resource,
        /// A ticket was answered. Of the successor's code.
        TicketReplied = "ticket.replied": Resource,
        /// A post was created, as the documentation has it.
        PostCreated = "post.created": Post,
        /// A post was changed, as the documentation has it.
        PostUpdated = "post.updated": Post,
        /// A post was deleted, as the documentation has it.
        PostDeleted = "post.deleted": Post,
        /// A post was published, as the documentation has it.
        PostPublished = "post.published": Post,
        /// A post was archived, as the documentation has it for any resource.
        PostArchived = "post.archived": Post,
    }
}

objects! {
    /// What is not documented further.
    pub struct Resource {
        /// Its id.
        id: Id,
        /// Its name.
        name: String,
        /// The resource, in the form of the documentation: see [`unwrapped`](Self::unwrapped).
        object: Box<Resource>,
    }

    /// A page of links.
    pub struct Bio {
        /// Its id, by one name: see [`id`](Self::id).
        bio_id: Id,
        /// Its id, by the other.
        id: Id,
        /// Its name.
        name: String,
        /// Where it is.
        url: String,
        /// The page, in the form of the documentation: see [`unwrapped`](Self::unwrapped).
        object: Box<Bio>,
    }

    /// A run of a tool.
    pub struct ToolExecuted {
        /// The server that has it.
        server_id: Id,
        /// The tool's name.
        tool_name: String,
        /// The tool's name, in an example of the successor's code.
        tool: String,
        /// What it was run with.
        arguments: Map<String, Value>,
        /// Whether it did what it should.
        success: bool,
        /// How long it took, in milliseconds.
        duration_ms: i64,
        /// What went wrong.
        error: String,
    }

    /// A post, in the forms of the examples: as it is, in `object`, or in `post`.
    pub struct Post {
        /// Its id, by one name: see [`id`](Self::id).
        id: Id,
        /// Its id, by the other.
        post_id: Id,
        /// Its title.
        title: String,
        /// Its name in URLs.
        slug: String,
        /// Where it is.
        url: String,
        /// Its status, such as `published`.
        status: String,
        /// Who wrote it.
        author_id: Id,
        /// Who wrote it.
        author: Author,
        /// When it was published.
        published_at: String,
        /// What else is said of it.
        metadata: PostMetadata,
        /// The post, in the form of the page: see [`unwrapped`](Self::unwrapped).
        object: Box<Post>,
        /// The post, in the form of an example: see [`unwrapped`](Self::unwrapped).
        post: Box<Post>,
    }

    /// Who wrote a post.
    pub struct Author {
        /// Their id.
        id: Id,
        /// Their name.
        name: String,
    }

    /// What else is said of a post.
    pub struct PostMetadata {
        /// When it was published.
        published_at: String,
        /// How long it is.
        word_count: i64,
    }
}

impl Resource {
    /// The resource that the event is about: what is in `object`, or this.
    #[must_use]
    pub fn unwrapped(&self) -> &Self {
        self.object.as_deref().unwrap_or(self)
    }
}

impl Bio {
    /// The page that the event is about: what is in `object`, or this.
    #[must_use]
    pub fn unwrapped(&self) -> &Self {
        self.object.as_deref().unwrap_or(self)
    }

    /// The page's id, by whichever name.
    #[must_use]
    pub fn id(&self) -> Option<&Id> {
        let bio = self.unwrapped();
        bio.bio_id.as_ref().or(bio.id.as_ref())
    }
}

impl Post {
    /// The post that the event is about: what is in `object` or in `post`, or this.
    #[must_use]
    pub fn unwrapped(&self) -> &Self {
        let inner = self.object.as_deref().or(self.post.as_deref());
        inner.unwrap_or(self)
    }

    /// The post's id, by whichever name.
    #[must_use]
    pub fn id(&self) -> Option<&Id> {
        let post = self.unwrapped();
        post.id.as_ref().or(post.post_id.as_ref())
    }
}

/// The body of a delivery: an event with what is said of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Envelope {
    /// The event's id, which its retries have too.
    pub id: Option<String>,
    /// When it happened, in ISO 8601.
    pub created_at: Option<String>,
    /// The workspace that it happened in, unless there is none.
    pub workspace_id: Option<Id>,
    /// What happened.
    pub data: Payload,
    /// All else that was sent, as it was.
    pub more: Map<String, Value>,
}

impl Envelope {
    /// The envelope that a body is: what `Event::data` makes of an event, for a body that is known otherwise, such as from a
    /// queue. A body that is no object is in [`Payload::Other`].
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

/// Reads the event whole, and not its data alone.
impl FromEvent for Envelope {
    fn from_event(event: &Event) -> Result<Self, ExtractError> {
        from_json(event.raw()).map(Self::from_body)
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
