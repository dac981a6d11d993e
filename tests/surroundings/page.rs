//! The page of `webhook-verify listen`, in headless Chromium through chromedriver.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use integration_tests::{
    Connection, PATIENCE, Program, exchange, in_folder, raw_request, size, soon,
};
use serde_json::{Value, json};
use tokio::time::sleep;
use webhook_verify::{Scheme, testing::Signer};

/// A running receiver with its page.
struct Listening {
    program: Program,
    addr: SocketAddr,
    page: String,
}

impl Listening {
    fn start(arguments: &[&str]) -> Self {
        let folder = std::env::current_exe().unwrap();
        let path = folder.parent().unwrap().with_file_name("webhook-verify");
        assert!(path.is_file(), "run `cargo build -p webhook-verify --features cli` before");
        let mut command = Command::new(path);
        in_folder(&mut command).args(["listen", "--listen", "127.0.0.1:0", "--json"]);
        let program = Program::spawn(command.args(arguments).stdin(Stdio::null()));
        let greeting = program.line(Instant::now() + PATIENCE).expect("the addresses");
        let greeting: Value = serde_json::from_str(&greeting).unwrap();
        let addr = greeting["listening"].as_str().unwrap().trim_start_matches("http://");
        let page = greeting["page"].as_str().unwrap().to_owned();
        Self { addr: addr.parse().unwrap(), page, program }
    }

    async fn send(&self, secret: &str, body: &str) -> u16 {
        exchange(self.addr, &request(secret, body)).await.status
    }
}

fn request(secret: &str, body: &str) -> Vec<u8> {
    let signer = Signer::new(Scheme::preset("stripe").unwrap(), secret).unwrap();
    let signed = signer.sign(body.to_owned()).unwrap();
    let json = ("content-type".to_owned(), "application/json".to_owned());
    let headers = [signed.headers, vec![json]].concat();
    raw_request("POST", "/hooks/stripe", &headers, &signed.body)
}

/// A browser.
struct Browser {
    addr: SocketAddr,
    session: String,
    _driver: Program,
}

impl Browser {
    async fn start() -> Self {
        let mut command = Command::new("/usr/bin/chromedriver");
        let driver = Program::spawn(in_folder(&mut command).arg("--port=0").stderr(Stdio::null()));
        let deadline = Instant::now() + PATIENCE;
        let port = loop {
            let line = driver.line(deadline).expect("the port of chromedriver");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        let options = json!({"args": ["--headless=new", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage", "--window-size=1280,860", "--lang=en"]});
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let addr = ([127, 0, 0, 1], port).into();
        let mut browser = Self { addr, session: String::new(), _driver: driver };
        let session = browser.call("POST", "/session", &capabilities).await;
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        browser
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let host = [("Host".to_owned(), self.addr.to_string())];
        let target = format!("{}{path}", self.session);
        let mut connection = Connection::open(self.addr).await;
        connection.send(&raw_request(method, &target, &host, body.as_bytes())).await;
        let response = connection.response().await.expect("a response of chromedriver");
        let value: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(response.status, 200, "{path}: {value}");
        value["value"].clone()
    }

    async fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({"url": url})).await;
    }

    /// Runs a script's body and returns its value.
    async fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({"script": script, "args": []})).await
    }

    /// Waits until an expression is true.
    async fn wait_for(&self, expression: &str) {
        let script = format!("return Boolean({expression})");
        let is_true = async {
            while self.run(&script).await != true {
                sleep(Duration::from_millis(50)).await;
            }
        };
        soon(expression, is_true).await;
    }

    /// Saves a picture in the folder of the variable `SCREENSHOTS`, if it is set.
    async fn screenshot(&self, name: &str, is_dark: bool) {
        let Some(folder) = std::env::var_os("SCREENSHOTS").map(PathBuf::from) else { return };
        let scheme = if is_dark { "dark" } else { "light" };
        let media = json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features":
            [{"name": "prefers-color-scheme", "value": scheme}]}});
        self.call("POST", "/goog/cdp/execute", &media).await;
        sleep(Duration::from_millis(300)).await;
        let png = self.call("GET", "/screenshot", &Value::Null).await;
        let png = STANDARD.decode(png.as_str().unwrap()).unwrap();
        fs::write(folder.join(format!("{name}-{scheme}.png")), png).unwrap();
    }

    async fn screenshots(&self, name: &str) {
        self.screenshot(name, true).await;
        self.screenshot(name, false).await;
    }

    /// Asserts that the page caused no error, such as one of its Content-Security-Policy.
    async fn assert_no_errors(&self) {
        let log = self.call("POST", "/se/log", &json!({"type": "browser"})).await;
        let is_severe = |entry: &&Value| entry["level"] == "SEVERE";
        let severe: Vec<_> = log.as_array().unwrap().iter().filter(is_severe).collect();
        assert!(severe.is_empty(), "{severe:#?}");
    }

    async fn end(&self) {
        self.call("DELETE", "", &Value::Null).await;
    }
}

const SENDER: [&str; 4] = ["--scheme", "stripe", "--secret", "whsec_x"];
/// A row of the list with this number.
const ROW: &str = "document.getElementById('row-NUMBER')";
const DETAILS: &str = "document.getElementById('details').textContent";

fn row(number: usize) -> String {
    ROW.replace("NUMBER", &number.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_deliveries_live_and_interprets_none() {
    let listening = Listening::start(&SENDER);
    let browser = Browser::start().await;
    browser.open(&listening.page).await;
    browser.wait_for("document.getElementById('state').textContent === 'live'").await;
    browser.wait_for("document.querySelector('#list .empty')").await;
    browser.screenshots("empty").await;

    let invoice = "{\"id\":\"evt_1\",\"type\":\"invoice.paid\",\"created\":1795951071,\"livemode\":false,\
        \"data\":{\"object\":{\"id\":\"in_1\",\"amount\":1250.10,\"currency\":\"eur\",\"lines\":[1,2,3],\
        \"customer\":null,\"note\":\"Thank you – größer, naïve\"}}}";
    assert_eq!(listening.send("whsec_x", invoice).await, 204);
    browser.wait_for(&row(1)).await;
    listening.send("whsec_x", invoice).await;
    listening.send("whsec_other", invoice).await;
    for (id, kind) in [("evt_3", "customer.created"), ("evt_4", "charge.failed")] {
        listening.send("whsec_x", &format!(r#"{{"id":"{id}","type":"{kind}"}}"#)).await;
    }
    browser.wait_for(&row(5)).await;
    browser.run(&format!("{}.click()", row(1))).await;
    browser.wait_for(&format!("{DETAILS}.includes('1250.10')")).await;
    browser.screenshots("delivery").await;
    browser.run(&format!("{}.click()", row(3))).await;
    browser.wait_for(&format!("{DETAILS}.includes('Why it was refused')")).await;
    browser.screenshots("refused").await;

    // A hostile sender, who has the secret.
    let hostile = json!({
        "id": "<script>window.pwned = 1</script>",
        "type": "<img src=x onerror='window.pwned = 2'>\u{202e}gnp.exe",
        "html": "</pre><script>window.pwned = 3</script>\u{1b}[31m",
        "rtl": "שלום \u{202e}abc",
        "long": "x".repeat(100_000),
    });
    listening.send("whsec_x", &hostile.to_string()).await;
    browser.wait_for(&row(6)).await;
    browser.run(&format!("{}.click()", row(6))).await;
    browser.wait_for(&format!("{DETAILS}.includes('window.pwned = 3')")).await;
    browser.screenshots("hostile").await;
    assert_eq!(browser.run("return window.pwned === undefined").await, true);
    let inside =
        "return document.querySelectorAll('#details script, #details img, .row img').length";
    assert_eq!(browser.run(inside).await, 0);
    let longest = "return Math.max(...[...document.querySelectorAll('pre .line')].map(it => it.textContent.length))";
    assert!(browser.run(longest).await.as_u64().unwrap() < 3000);
    assert_eq!(browser.run(&format!("return {DETAILS}.includes('\\u202e')")).await, false);

    // A replay is a new delivery.
    browser.run(&format!("{}.click()", row(1))).await;
    browser.wait_for(&format!("{DETAILS}.includes('1250.10')")).await;
    browser.run("document.querySelector('.actions button').click()").await;
    browser.wait_for(&row(7)).await;
    browser
        .wait_for("document.querySelector('.actions output').textContent === 'replayed: 204'")
        .await;
    // Another list has only its rows.
    browser.run("document.getElementById('list-refused').click()").await;
    browser.wait_for(&format!("{} && !{}", row(3), row(1))).await;
    browser.screenshots("filter").await;
    browser.assert_no_errors().await;
    drop(listening);
    browser
        .wait_for("document.getElementById('state').textContent.includes('not connected')")
        .await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_has_few_elements() {
    // The last one makes 3,000 or 100,000.
    let count = size(2999, 99_999);
    let listening = Listening::start(&SENDER);
    let browser = Browser::start().await;
    browser.open(&listening.page).await;
    let mut connection = Connection::open(listening.addr).await;
    for number in 1..=count {
        let body = format!(r#"{{"id":"evt_{number}","type":"thing.made"}}"#);
        connection.send(&request("whsec_x", &body)).await;
        assert_eq!(connection.response().await.expect("a response").status, 204);
        listening.program.line(Instant::now() + PATIENCE).expect("a line");
    }
    browser.wait_for(&row(count)).await;
    browser.run("document.getElementById('list').scrollTop = 1e9").await;
    browser.wait_for(&row(1)).await;
    let middle =
        "const list = document.getElementById('list'); list.scrollTop = list.scrollHeight / 2";
    browser.run(middle).await;
    browser.wait_for(&row(count / 2)).await;
    let rows = browser.run("return document.querySelectorAll('.row').length").await;
    assert!(rows.as_u64().unwrap() < 60, "{rows}");
    // New deliveries do not move the rows in view.
    let top = "return document.getElementById('row-NUMBER').getBoundingClientRect().top";
    let top = top.replace("NUMBER", &(count / 2).to_string());
    let before = browser.run(&top).await;
    listening.send("whsec_x", r#"{"id":"last"}"#).await;
    let last = format!(
        "document.getElementById('list-all').textContent.includes('{:03}')",
        (count + 1) % 1000
    );
    browser.wait_for(&last).await;
    assert_eq!(browser.run(&top).await, before);
    browser.screenshots("long").await;
    browser.assert_no_errors().await;
    browser.end().await;
}
