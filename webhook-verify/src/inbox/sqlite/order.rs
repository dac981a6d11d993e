//! Tests of the triggers that keep the order of entries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{operations::Page, turn::Turn};
use crate::{
    claim::{
        ClaimKey, Owner, Settled,
        sql::digest,
        sqlite::{in_inbox, inbox_tables},
    },
    inbox::{
        Change, EntryHolder, EntryState, Filter, Intake, LeaseRequest, NewEvent, Order,
        StoredEvent, Verdict,
    },
};

const MINUTE: Duration = Duration::from_secs(60);

async fn execute(on: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(in_inbox(sql, "t")).execute(on).await.unwrap();
}

async fn tables() -> SqliteConnection {
    let mut on = SqliteConnectOptions::new().in_memory(true).connect().await.unwrap();
    sqlx::raw_sql(inbox_tables("t")).execute(&mut on).await.unwrap();
    on
}

/// Returns how many instructions SQLite executes to lease and settle events of one order key, to
/// store one, and to change some, while `waiting` events wait.
async fn work(waiting: u32) -> u64 {
    let mut on = tables().await;
    // The trigger would slow down the insert of so many entries.
    execute(&mut on, "DROP TRIGGER {inbox}_stored").await;
    let key = digest(&[1]).map(|byte| format!("{byte:02x}")).concat();
    let fill = format!(
        "WITH RECURSIVE counted (n) AS (
           SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {waiting})
         INSERT INTO {{inbox}} (endpoint, key, scheme, received_at, expires_at, headers, body)
         SELECT 'inbox', randomblob(32), 'mautic', 0, 0, '[]', x'' FROM counted;
         INSERT INTO {{inbox}}_entry
           (event, consumer, endpoint, state, attempt, due_at, order_key, position, behind)
         SELECT number, 'crm', 'inbox', 0, 0, 0, x'{key}', 0, iif(number = 1, 0, 2) FROM {{inbox}}"
    );
    execute(&mut on, &fill).await;
    sqlx::raw_sql(inbox_tables("t")).execute(&mut on).await.unwrap();

    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    let count = move || counted.fetch_add(1, Relaxed) < u64::MAX;
    on.lock_handle().await.unwrap().set_progress_handler(1, count);
    let mut turn = Turn { on: &mut on, table: "t", now: MINUTE };
    let mut next = 1;
    for order in [Order::DeadIsSkipped, Order::DeadBlocks] {
        let dead = Verdict::Dead { error: "refused".to_owned() };
        for verdict in [Verdict::Done, Verdict::Discarded, dead] {
            let owner = Owner::random().unwrap();
            let mut request = LeaseRequest::new("inbox", "crm", owner, 10, MINUTE);
            request.order = order;
            let leased = turn.lease(&request).await.unwrap().events;
            assert_eq!(leased.iter().map(|event| event.number).collect::<Vec<_>>(), [next]);
            assert!(turn.lease(&request).await.unwrap().events.is_empty());
            let settled = turn.settle(&EntryHolder::new(next, "crm", owner), &verdict).await;
            assert_eq!(settled.unwrap(), Settled::Applied);
            next += 1;
        }
        if order == Order::DeadIsSkipped {
            let dead = Filter::new("inbox", 10).state(EntryState::Dead);
            let page = Page { after: 0, step: 10, left: 10 };
            let end = turn.page_end(&dead, page).await.unwrap().unwrap();
            for change in [Change::Retry, Change::Discard] {
                let filter = if change == Change::Retry { &dead } else { &Filter::new("inbox", 1) };
                assert_eq!(turn.change(filter, change, page, end).await.unwrap(), 1);
            }
        }
    }
    let event = StoredEvent::new(ClaimKey::from([1; 32]), "mautic", "{}");
    let event = NewEvent::new(event, MINUTE).ordered([1], None);
    turn.insert(&Intake::new("inbox", &["crm"], vec![event])).await.unwrap();
    let steps = steps.load(Relaxed);
    on.close().await.unwrap();
    steps
}

/// Entries that wait for others cost leases nothing, however many there are.
#[tokio::test]
async fn entries_that_wait_for_others_cost_nothing() {
    let (few, many) = (work(1000).await, work(100_000).await);
    assert!(few > 100 && many < 2 * few, "{few} instructions, and with many entries {many}");
}

/// After any change, `behind` agrees with the other entries.
#[tokio::test]
async fn triggers_keep_the_order() {
    const WRONG: &str = "SELECT count(*) FROM t_entry e WHERE state < 2 AND order_key IS NOT NULL
      AND behind IS NOT (
        SELECT coalesce(max(iif(o.state = 2, 1, 2)), 0) FROM t_entry o
        WHERE o.consumer = e.consumer AND o.order_key = e.order_key AND o.state < 3
          AND (o.position < e.position OR (o.position = e.position AND o.event < e.event)))";
    let mut on = tables().await;
    let mut random = 1_u32;
    let mut below = |end: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % end
    };
    for event in 0..2000 {
        let sql = match below(20) {
            0..7 => format!(
                "INSERT INTO {{inbox}}_entry
                   (event, consumer, endpoint, state, attempt, due_at, order_key, position)
                 VALUES ({event}, '{}', 'inbox', 0, 0, 0, x'0{}', {})",
                below(2),
                below(2),
                below(4),
            ),
            7..18 => format!(
                "UPDATE {{inbox}}_entry SET state = {} WHERE event % {} = 0 AND event > {event} - 60",
                below(5),
                below(60) + 1,
            ),
            _ => format!("DELETE FROM {{inbox}}_entry WHERE event % 30 = {}", below(30)),
        };
        execute(&mut on, &sql).await;
        let wrong: i64 = sqlx::query_scalar(WRONG).fetch_one(&mut on).await.unwrap();
        assert_eq!(wrong, 0, "{sql}");
    }
}
