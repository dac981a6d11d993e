//! What stands between a receiver and its store: a network that is slow, cut, or a black hole.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

/// How the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Fair,
    /// Everything takes so much longer.
    Slow(Duration),
    /// Nothing arrives, and nobody is told. What was sent meanwhile arrives when it is over, as with TCP it does.
    BlackHole,
    /// Connections end at once, and so do new ones.
    Cut,
    /// Questions arrive; their connections end before an answer does.
    AnswersLost,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// A proxy in front of one server. It ends with the runtime that it was started on.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    weather: watch::Sender<Weather>,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (weather, seen) = watch::channel(Weather::Fair);
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((client, _)) => drop(tokio::spawn(pass(client, server, seen.clone()))),
                    // Such as a client that has gone meanwhile.
                    Err(_) => sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Self { addr, weather }
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn pass(client: TcpStream, server: SocketAddr, weather: watch::Receiver<Weather>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // One way that ends takes the other with it, and both connections.
    tokio::select! {
        () = pump(from_client, to_server, weather.clone(), Way::There) => {}
        () = pump(from_server, to_client, weather.clone(), Way::Back) => {}
        () = cut(weather) => {}
    }
}

async fn cut(mut weather: watch::Receiver<Weather>) {
    let _ = weather.wait_for(|now| *now == Weather::Cut).await;
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
    way: Way,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let now = weather.wait_for(|now| *now != Weather::BlackHole).await;
        let Ok(now) = now.map(|now| *now) else {
            return;
        };
        match now {
            Weather::Slow(time) => sleep(time).await,
            Weather::AnswersLost if way == Way::Back => return,
            _ => {}
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
