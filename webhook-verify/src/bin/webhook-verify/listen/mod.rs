mod arrived;
mod explanation;
mod fixture;
mod forward;
mod guard;
mod hidden;
mod history;
mod lines;
mod listener;
mod options;
mod page;
mod places;
mod record;
mod sender;
mod server;
mod spelling;

use std::{net::SocketAddr, path::PathBuf, pin::pin, process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use http::Uri;
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime, sync::watch};

use self::{
    explanation::Log,
    fixture::Fixtures,
    forward::Forward,
    history::History,
    lines::{Lines, Output},
    listener::Listener,
    options::SenderOptions,
    page::Page,
    record::Recorder,
    sender::Sender,
    server::Signals,
};
use crate::{
    Failure,
    client::{UrlParser, without_query},
    scheme_file,
    terminal::Shown,
    values::number,
};

/// The exit code after a second signal, as shells have it for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Receives webhooks on this machine, verifies them, and shows each one
///
/// Prints one line for each request: ✔ for an authentic delivery, ↺ for a duplicate of one, ✘ for a
/// request that is refused, with the likely cause. Times are in UTC. Verification handshakes are
/// answered. The sender gets 204, or with --forward the response of your server.
///
/// A page shows the same deliveries with their headers, bodies and responses. It has a port of its
/// own on the loopback interface, so a tunnel to the receiver does not publish it. Other users of
/// this machine can open it: use --no-page on a shared machine.
///
/// One sender may use every path. Several senders, or those with --config, have one path each.
#[derive(Args)]
pub(crate) struct Listen {
    #[command(flatten)]
    senders: SenderOptions,
    /// A TOML file with a table for each path: scheme, one of secret, secret-env and secret-file,
    /// and optionally header, parameters and url
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scheme", "secret", "secret_file",
        "secret_env", "header", "parameter", "url"])]
    config: Option<PathBuf>,
    /// A TOML file with schemes of your own, which take precedence over presets of the same names
    #[arg(long, value_name = "FILE")]
    scheme_file: Option<PathBuf>,
    /// The address to listen on; with port 0, any free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// A server that gets each authentic request, also a duplicate, exactly as it arrived
    ///
    /// Its response goes back to the sender. A path in the URL replaces that of the request. A query
    /// in it is added to that of the request, and replaces parameters of the same names.
    #[arg(long, value_name = "URL", value_parser = UrlParser)]
    forward: Option<Uri>,
    /// How long to wait for the server's response; then the sender gets 504
    #[arg(long, value_name = "SECONDS", default_value_t = 30, allow_negative_numbers = true,
        value_parser = number::<u64>(1..=86_400))]
    forward_timeout: u64,
    /// A folder in which each request becomes a file that `check` reads, also a refused one
    ///
    /// The file contains a random secret in place of the real one, and an authentic request is
    /// signed again with it. So `check` accepts the file, and you can share it as a fixture.
    /// A request that cannot be signed again, or was refused, is recorded without its signature.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Record requests exactly as they arrived, with the real secrets
    #[arg(long)]
    record_secrets: bool,
    /// The address of the page; the default is the loopback port after that of --listen, or any
    /// free one
    #[arg(long, value_name = "ADDR", num_args = 0..=1, require_equals = true,
        conflicts_with = "no_page")]
    page: Option<Option<SocketAddr>>,
    /// Serve no page
    #[arg(long)]
    no_page: bool,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

impl Listen {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        Log::install();
        let schemes = self.scheme_file.as_deref().map(scheme_file::read).transpose()?;
        let schemes = schemes.unwrap_or_default();
        let settings = match &self.config {
            Some(file) => options::read_config(file)?,
            None if self.senders.settings().is_empty() => vec![Default::default()],
            None => self.senders.settings().to_vec(),
        };
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let _guard = runtime.enter();
        let senders = sender::senders(&settings, &schemes)?;
        let fixtures = Arc::new(Fixtures::new(self.record_secrets, &senders));
        let limit = Duration::from_secs(self.forward_timeout);
        let forward = self.forward.clone().map(|to| Forward::new(to, limit)).transpose()?;
        let recorder = self.record.as_deref();
        let recorder = recorder.map(|folder| Recorder::new(folder, Arc::clone(&fixtures)));
        let signals = Signals::new()?;
        let socket = runtime.block_on(bind("--listen", self.listen))?;
        if let Some(forward) = &forward
            && forward.is_to(socket.local_addr()?)
        {
            return Err("--forward: the address of this receiver itself".into());
        }
        let page = runtime.block_on(self.bind_page(socket.local_addr()?))?;
        let (lines, output) = Lines::start(self.json);
        let budget = Listener::budget(&senders);
        let listener = Arc::new(Listener {
            senders,
            forward,
            recorder: recorder.transpose()?,
            history: History::new(),
            lines,
            budget,
        });
        let ended = runtime.block_on(self.serve(listener, socket, page, fixtures, output, signals));
        // Connections of browsers may stay open.
        runtime.shutdown_timeout(Duration::from_millis(100));
        ended
    }

    async fn bind_page(&self, listen: SocketAddr) -> Result<Option<TcpListener>, Failure> {
        if self.no_page {
            return Ok(None);
        }
        if let Some(address) = self.page.flatten() {
            if !address.ip().is_loopback() {
                return Err("--page: not a loopback address, such as 127.0.0.1:3001".into());
            }
            return Ok(Some(bind("--page", address).await?));
        }
        let next = SocketAddr::from(([127, 0, 0, 1], listen.port().wrapping_add(1)));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        match TcpListener::bind(next).await {
            Ok(socket) => Ok(Some(socket)),
            Err(_) => Ok(Some(bind("--page", any).await?)),
        }
    }

    async fn serve(
        &self,
        listener: Arc<Listener>,
        socket: TcpListener,
        page: Option<TcpListener>,
        fixtures: Arc<Fixtures>,
        mut output: Output,
        mut signals: Signals,
    ) -> Result<ExitCode, Failure> {
        let address = socket.local_addr()?;
        let page_address = page.as_ref().map(TcpListener::local_addr).transpose()?;
        let lines = listener.lines.clone();
        let (text, value) = self.greeting(address, page_address, &listener.senders);
        lines.say(&text, &value).await;
        if let (Some(socket), Some(own)) = (page, page_address) {
            let page = Page::new(Arc::clone(&listener), fixtures, own, address, value)?;
            tokio::spawn(page.serve(socket));
        }
        let mut failure = None;
        let (stop, mut stopped) = watch::channel(false);
        let serving = async {
            server::serve(listener, socket, async {
                let _ = stopped.wait_for(|it| *it).await;
            })
            .await;
        };
        let mut serving = pin!(serving);
        tokio::select! {
            () = signals.next() => {}
            error = &mut output.failed => failure = error.ok(),
            () = &mut serving => {}
        }
        let _ = stop.send(true);
        output.stop();
        let ending = async {
            serving.await;
            output.end(lines).await;
        };
        tokio::select! {
            () = ending => {}
            () = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
        }
        match failure {
            Some(error) => Err(error.into()),
            None => Ok(ExitCode::SUCCESS),
        }
    }

    /// Returns the first lines, for people and as JSON.
    fn greeting(
        &self,
        address: SocketAddr,
        page: Option<SocketAddr>,
        senders: &[Sender],
    ) -> (String, Value) {
        let url = format!("http://{address}");
        let page = page.map(|page| format!("http://{page}/"));
        let mut text = format!("listening on {url}");
        let mut list = Vec::new();
        for sender in senders {
            let name = sender.scheme.name();
            let shown = Shown(name);
            match &sender.path {
                Some(path) => text += &format!("\n  {shown}: {url}{}", Shown(path)),
                None => text += &format!(" for {shown}, at every path"),
            }
            list.push(json!({"scheme": name, "path": sender.path}));
        }
        if let Some(page) = &page {
            text += &format!("\npage: {page}");
        }
        let forward = self.forward.as_ref().map(without_query);
        if let Some(to) = &forward {
            text += &format!("\nforwarding to {}", Shown(to));
        }
        if let Some(folder) = &self.record {
            let folder = folder.display().to_string();
            let folder = Shown(&folder);
            let how = if self.record_secrets { ", with the real secrets" } else { "" };
            text += &format!("\nrecording in {folder}{how}");
        }
        let value = json!({
            "listening": url,
            "page": page,
            "senders": list,
            "forward": forward,
            "record": self.record.as_ref().map(|folder| folder.display().to_string()),
        });
        (text, value)
    }
}

/// Binds a port. The error says what to do if it is in use.
async fn bind(option: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => ": another program uses this port, so choose another",
            _ => "",
        };
        format!("{option} {address}: {error}{advice}").into()
    })
}
