//! Copies of one delivery that come at once.

use std::{process::Stdio, time::Duration};

use integration_tests::{Kind, Place, Response, SHARED, STORES, exchange, soon};
use tokio::time::sleep;

use super::{outbox::request, runs::NOT_COMPLETED};
use crate::running::{RECEIVERS, Running, receiver};

const COPIES: usize = 64;

fn start(name: &str, place: &Place) -> Running {
    Running::spawn_again(|| {
        let mut command = receiver(name, &place.url);
        command.args(super::outbox::FLAGS).args(["--delay", "400"]);
        command.stderr(Stdio::piped());
        command
    })
}

/// Sends the copies to the receivers in turn, and judges what they answer and print.
async fn race(kind: Kind, names: &[&str]) {
    let place = Place::new(kind);
    let receivers: Vec<_> = names.iter().map(|name| start(name, &place)).collect();
    let names = format!("{names:?} on {kind:?}");
    let raw = request("evt_race");
    let copies: Vec<_> = (0..COPIES)
        .map(|copy| {
            let (addr, raw) = (receivers[copy % receivers.len()].addr, raw.clone());
            tokio::spawn(async move { exchange(addr, &raw).await })
        })
        .collect();
    let mut answers = Vec::new();
    for copy in copies {
        answers.push(copy.await.unwrap());
    }
    // And one that comes late, until it is not sent away.
    let late = async {
        loop {
            let answer = exchange(receivers[0].addr, &raw).await;
            let is_sent_away = answer.status == 503;
            answers.push(answer);
            if !is_sent_away {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    soon("acknowledgment of a late copy", late).await;

    let (mut handled, mut log) = (Vec::new(), String::new());
    for receiver in receivers {
        let (lines, logged) = receiver.end_with_log();
        handled.extend(lines);
        log += &logged;
    }
    let (first, others): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 204 && !is_replay(answer));
    assert_eq!(handled.len(), first.len(), "{names}: {handled:?}");
    for answer in others {
        let sent_away = answer.status == 503
            && answer
                .header("retry-after")
                .is_some_and(|after| after.parse::<u64>().is_ok_and(|after| after > 0));
        assert!(sent_away || is_replay(answer), "{names}: {answer:?}");
    }
    // A completion that the store did not record may run again. The log names it.
    let is_once = handled.len() == 1 || log.contains(NOT_COMPLETED);
    assert!(is_once, "{names}: {handled:?}");
    // A claim may be granted to a call that was given up, and then again, as attempt 2.
    if !log.contains(r#"call="claim""#) {
        assert_eq!(handled[0]["attempt"], 1, "{names}");
    }
}

fn is_replay(answer: &Response) -> bool {
    answer.status == 204 && answer.header("idempotent-replayed") == Some("true")
}

/// B1: of many copies at once, one is handled.
#[tokio::test]
async fn one_process_handles_one_of_many_copies() {
    for name in RECEIVERS {
        for kind in STORES {
            race(kind, &[name]).await;
        }
    }
}

/// B2: so it is when the copies go to several processes, of either framework.
#[tokio::test]
async fn four_processes_handle_one_of_many_copies() {
    let receivers = [RECEIVERS, RECEIVERS].concat();
    for kind in SHARED {
        race(kind, &receivers).await;
    }
}
