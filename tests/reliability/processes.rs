//! Receivers in several processes, on one store: raced, killed, frozen, told to stop, and with a
//! full disk.

use futures_util::future::join_all;
use integration_tests::{
    Connection, Framework, Kind, Place, SHARED, assert_in_flight, assert_replay, each_place,
    is_replay, soon, unique,
};
use tokio::net::TcpStream;

use crate::{
    child::{Process, Task, runs},
    rig::{LEASE, deliver, event, post, try_post},
};

fn task(place: &Place, framework: Framework, status: u16) -> Task {
    Task {
        url: place.url.clone(),
        framework,
        namespace: unique("process"),
        lease: LEASE,
        status,
        file_limit: None,
    }
}

async fn begin(process: &mut Process, event: &[u8]) -> Connection {
    let mut connection = Connection::open(process.addr).await;
    connection.send(event).await;
    process.until("runs").await;
    connection
}

/// B2: one delivery arrives at four processes at once, 16 times at each.
#[tokio::test]
async fn b02_a_race_across_processes() {
    each_place(&SHARED, async |place, framework| {
        let task = task(place, framework, 201);
        let mut processes = join_all((0..4).map(|_| Process::start(&task))).await;
        let addrs: Vec<_> = processes.iter().map(|process| process.addr).collect();
        // The handlers wait, so that all others find the claim held.
        let event_1 = event("evt_1");
        let mut posts: Vec<_> = (0..64)
            .map(|number| {
                let (addr, event) = (addrs[number % 4], event_1.clone());
                tokio::spawn(async move { post(addr, &event).await.status })
            })
            .collect();
        while posts.len() > 1 {
            let (status, _, rest) =
                soon("response to a duplicate", futures_util::future::select_all(posts)).await;
            assert_eq!(status.unwrap(), 503);
            posts = rest;
        }
        processes.iter_mut().for_each(|process| process.open(1000));
        let winner = soon("response to the winner", posts.remove(0)).await;
        assert_eq!(winner.unwrap(), 201);
        for addr in &addrs {
            assert_replay(&post(*addr, &event_1).await, 201);
        }
        // Now with nothing held back.
        let events: Vec<_> = (2..22).map(|number| event(&format!("evt_{number}"))).collect();
        let posts = events.iter().flat_map(|event| addrs.iter().map(|addr| deliver(*addr, event)));
        join_all(posts).await;
        let runs = runs(&mut processes).await;
        assert_eq!(runs.len(), 21);
        assert!(runs.values().all(|count| *count == 1), "{runs:?}");
    })
    .await;
}

/// Starts a process that ends while its handler runs, and one that gets the retry: it is rejected
/// until the lease expires, and then runs.
async fn ends_in_a_handler(
    place: &Place,
    task: Task,
    end: impl AsyncFnOnce(&mut Process, Connection),
) {
    let mut first = Process::start(&task).await;
    let mut second = Process::start(&Task { status: 201, ..task }).await;
    let event = event("evt_1");
    let connection = begin(&mut first, &event).await;
    end(&mut first, connection).await;
    assert!(!first.ended().await.success());
    assert_in_flight(&post(second.addr, &event).await);
    place.age(LEASE).await;
    second.open(1);
    let (_, answer) = deliver(second.addr, &event).await;
    assert_eq!((answer.status, is_replay(&answer)), (201, false));
    assert_eq!(second.all("runs").await, ["evt_1 2"]);
    assert_replay(&post(second.addr, &event).await, 201);
}

/// B4: a process is killed while its handler runs.
#[tokio::test]
async fn b04_a_process_that_is_killed() {
    each_place(&SHARED, async |place, framework| {
        ends_in_a_handler(place, task(place, framework, 201), async |first, _unanswered| {
            first.signal("-KILL");
        })
        .await;
    })
    .await;
}

/// B7: a handler aborts its process, as a panic does with `panic = "abort"`.
#[tokio::test]
async fn b07_a_handler_that_aborts() {
    each_place(&SHARED, async |place, framework| {
        ends_in_a_handler(place, task(place, framework, 0), async |first, mut connection| {
            first.open(1);
            assert_eq!(connection.response().await, None);
        })
        .await;
    })
    .await;
}

/// B5: a process is frozen for longer than its lease, and continues after its successor is done.
/// Its completion changes nothing.
#[tokio::test]
async fn b05_a_process_that_is_frozen() {
    each_place(&SHARED, async |place, framework| {
        let task = task(place, framework, 202);
        let mut zombie = Process::start(&task).await;
        let successor = Task { status: 201, ..task };
        let mut successor = Process::start(&successor).await;
        let event = event("evt_1");
        let mut connection = begin(&mut zombie, &event).await;
        zombie.signal("-STOP");
        assert_in_flight(&post(successor.addr, &event).await);
        place.age(LEASE).await;
        successor.open(1);
        assert_eq!(deliver(successor.addr, &event).await.1.status, 201);
        assert_eq!(successor.all("runs").await, ["evt_1 2"]);

        zombie.signal("-CONT");
        zombie.open(1);
        assert_eq!(zombie.until("done").await, "evt_1 1");
        // The response comes after the attempt to settle the claim.
        assert_eq!(connection.response().await.unwrap().status, 202);
        for addr in [zombie.addr, successor.addr] {
            assert_replay(&post(addr, &event).await, 201);
        }
    })
    .await;
}

/// B26: after SIGTERM, a process finishes the ten deliveries in progress and accepts no new ones.
#[tokio::test]
async fn b26_a_process_that_is_told_to_stop() {
    each_place(&SHARED, async |place, framework| {
        let task = task(place, framework, 201);
        let mut process = Process::start(&task).await;
        let addr = process.addr;
        let events: Vec<_> = (0..10).map(|number| event(&format!("evt_{number}"))).collect();
        let mut connections = Vec::new();
        for (number, event) in events.iter().enumerate() {
            let mut connection = Connection::open(addr).await;
            connection.send(event).await;
            process.until(&format!("runs evt_{number} ")).await;
            connections.push(connection);
        }
        process.signal("-TERM");
        process.until("stops").await;
        soon("closed port", async { while TcpStream::connect(addr).await.is_ok() {} }).await;
        process.open(10);
        for connection in &mut connections {
            assert_eq!(connection.response().await.unwrap().status, 201);
        }
        drop(connections);
        assert!(process.ended().await.success());

        let mut next = Process::start(&task).await;
        for event in &events {
            assert_replay(&post(next.addr, event).await, 201);
        }
        assert!(next.all("runs").await.is_empty());
    })
    .await;
}

/// C7: the operating system refuses to extend the file. What cannot be recorded gets 503 and does
/// not run. What was recorded is known, also to the next process.
#[tokio::test]
async fn c07_a_file_that_cannot_grow() {
    each_place(&[Kind::Sqlite], async |place, framework| {
        drop(place.open().await);
        let mut task = task(place, framework, 201);
        // Room for the log of a few commits, and for some hundred records.
        task.file_limit = Some(120);
        let mut process = Process::start(&task).await;
        process.open(10_000);
        let (mut done, mut refused) = (Vec::new(), Vec::new());
        for number in 0..2000 {
            let event = event(&format!("evt_{number}"));
            let response = try_post(process.addr, &event).await;
            match response.expect("the process lives on").status {
                201 => done.push(event),
                503 => refused.push(event),
                status => panic!("{status}"),
            }
            if refused.len() == 20 {
                break;
            }
        }
        assert!(done.len() > 5, "{} done", done.len());
        assert_eq!(refused.len(), 20, "the file was full at some time");
        let runs = process.all("runs").await.len();
        assert_eq!(runs, done.len(), "what is sent away does not run");
        process.signal("-KILL");
        process.ended().await;

        task.file_limit = None;
        let mut next = Process::start(&task).await;
        next.open(10_000);
        let mut replays = 0;
        for event in &done {
            replays += usize::from(is_replay(&post(next.addr, event).await));
        }
        // One response may be lost, if the file was full just when it was to be completed.
        assert!(replays + 1 >= done.len(), "{replays} of {}", done.len());
        for event in refused.iter().rev().take(10) {
            let response = post(next.addr, event).await;
            assert_eq!((response.status, is_replay(&response)), (201, false));
        }
    })
    .await;
}
