//! Stores that receivers share, and what they tell of the claims that they granted.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    thread::{self, JoinHandle},
};

use integration_tests::{PATIENCE, Place, RedisServer};
use sqlx::{Connection as _, PgConnection};

pub(crate) async fn execute(place: &Place, sql: &'static str) {
    let mut connection = PgConnection::connect(&place.url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

/// A claim that the store has granted.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) key: String,
    pub(crate) attempt: u64,
    /// There was none before it, or it had been released or had lapsed.
    pub(crate) rightful: bool,
}

/// Every grant is written down by the database itself, in the transaction that makes it, so that
/// what is checked does not depend on the clocks, the answers or the life of those who asked.
const WRITE_DOWN: &str = "
CREATE TABLE granted (
  number bigserial, key bytea, attempt bigint, state smallint, lease_until timestamptz,
  at timestamptz DEFAULT clock_timestamp()
);
CREATE FUNCTION write_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO granted (key, attempt) VALUES (NEW.key, NEW.attempt);
  ELSIF NEW.owner <> OLD.owner OR NEW.attempt <> OLD.attempt THEN
    INSERT INTO granted (key, attempt, state, lease_until)
    VALUES (NEW.key, NEW.attempt, OLD.state, OLD.lease_until);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER write_down AFTER INSERT OR UPDATE ON webhook_claim
  FOR EACH ROW EXECUTE FUNCTION write_down()";

/// From now on the place, which is in PostgreSQL, writes grants down.
pub(crate) async fn watch(place: &Place) {
    // Makes the table.
    drop(place.open().await);
    execute(place, WRITE_DOWN).await;
}

/// Returns the grants of the database, in order.
pub(crate) async fn granted(place: &Place) -> Vec<Grant> {
    let mut connection = PgConnection::connect(&place.url).await.unwrap();
    let rows: Vec<(String, i64, bool)> = sqlx::query_as(
        "SELECT encode(key, 'hex'), attempt, coalesce(state = 1 AND lease_until <= at, attempt = 1)
         FROM granted ORDER BY number",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let grants = rows.into_iter().map(|(key, attempt, rightful)| Grant {
        key,
        attempt: attempt.try_into().unwrap(),
        rightful,
    });
    grants.collect()
}

/// Marks the end of what a monitor reads.
const END: &str = "the-end-of-what-is-monitored";

/// Reads all that a Redis server does.
pub(crate) struct Monitor(JoinHandle<Vec<Vec<u8>>>);

impl Monitor {
    pub(crate) fn start(server: &RedisServer) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let mut begun = String::new();
        reader.read_line(&mut begun).unwrap();
        assert_eq!(begun, "+OK\r\n");
        let is_end = |line: &[u8]| line.windows(END.len()).any(|word| word == END.as_bytes());
        Self(thread::spawn(move || {
            let lines = reader.split(b'\n');
            let lines = lines.map(|line| line.expect("a line of the monitor"));
            lines.take_while(|line| !is_end(line)).collect()
        }))
    }

    /// Returns the grants of the server, in order, from what its scripts wrote to the claims. A
    /// script also writes when records age.
    pub(crate) fn granted(self, server: &RedisServer) -> Vec<Grant> {
        server.command(&format!("ECHO {END}"));
        let mut grants = Vec::new();
        let mut records: std::collections::HashMap<String, (bool, u64)> = Default::default();
        for line in self.0.join().unwrap() {
            let line = String::from_utf8(line).unwrap();
            let Some((head, command)) = line.split_once(" lua] ") else {
                continue;
            };
            let words = words(command);
            if words[0] != b"HSET" {
                continue;
            }
            let key: String = words[1][3..].iter().map(|b| format!("{b:02x}")).collect();
            let field = |name: &str| {
                let mut fields = words[2..].chunks(2);
                let field = fields.find(|field| field[0] == name.as_bytes())?;
                Some(String::from_utf8_lossy(&field[1]).parse::<u64>().unwrap())
            };
            let at = head.trim_start_matches('+').split('.').collect::<Vec<_>>();
            let at = at[0].parse::<u64>().unwrap() * 1000 + at[1][..3].parse::<u64>().unwrap();
            let record = records.get(&key).copied();
            if let Some(attempt) = field("a") {
                grants.push(Grant {
                    key: key.clone(),
                    attempt,
                    rightful: record.is_none_or(|(completed, until)| !completed && until <= at),
                });
            }
            let (completed, until) = record.unwrap_or_default();
            let completed = field("s").map_or(completed, |state| state == 2);
            records.insert(key, (completed, field("u").unwrap_or(until)));
        }
        grants
    }
}

/// The words of a command as MONITOR quotes them.
fn words(command: &str) -> Vec<Vec<u8>> {
    let (mut words, mut inside) = (Vec::new(), false);
    let mut bytes = command.bytes();
    while let Some(byte) = bytes.next() {
        match (byte, inside) {
            (b'"', _) => {
                if !inside {
                    words.push(Vec::new());
                }
                inside = !inside;
            }
            (b'\\', true) => {
                let byte = match bytes.next().unwrap() {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    b'x' => {
                        let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                        u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
                    }
                    other => other,
                };
                words.last_mut().unwrap().push(byte);
            }
            (_, true) => words.last_mut().unwrap().push(byte),
            (_, false) => {}
        }
    }
    words
}
