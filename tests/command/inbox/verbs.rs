//! The output and the effect of each verb.

use integration_tests::age_inbox;
use serde_json::Value;
use webhook_verify::inbox::Verdict;

use super::{HOUR, Site, event, fill, intake, key};
use crate::{lines, run, text};

/// Text that must not reach a terminal unescaped.
const HOSTILE: &str = "a\u{1b}[2J\u{9b}31m\u{202e}b";
const ESCAPED: &str = r"a\u{1b}[2J\u{9b}31m\u{202e}b";

#[tokio::test]
async fn entries_are_counted_and_listed() {
    for site in Site::both().await {
        fill(&site).await;
        let stats = site.json(&["stats"]);
        let counts =
            |row: &Value| ["waiting", "running", "dead"].map(|state| row[state].as_u64().unwrap());
        let [crm, mail] = &stats[..] else { panic!("{stats:?}") };
        assert_eq!((&crm["consumer"], counts(crm)), (&"crm".into(), [0, 1, 1]));
        assert_eq!((&mail["consumer"], counts(mail)), (&"mail".into(), [3, 0, 0]));
        assert!(mail["oldest_seconds"].is_u64());
        let table = text(&site.verb(&["stats"]).stdout);
        assert_eq!(table.lines().count(), 3);
        assert!(table.lines().next().unwrap().contains("WAITING"), "{table}");

        let all = [
            (1, "crm", "dead"),
            (1, "mail", "waiting"),
            (2, "crm", "done"),
            (2, "mail", "waiting"),
            (3, "crm", "running"),
            (3, "mail", "waiting"),
        ];
        for (arguments, expected) in [
            (&[][..], &[0, 1, 2, 3, 4, 5][..]),
            (&["--state", "dead"], &[0]),
            (&["--state", "running"], &[4]),
            (&["--state", "discarded"], &[]),
            (&["--consumer", "mail"], &[1, 3, 5]),
            (&["--event-type", "contact.created"], &[0, 1]),
            (&["--namespace", "acme", "--consumer", "crm"], &[4]),
            (&["--after", "2"], &[4, 5]),
            (&["--after", "-7", "--state", "done"], &[2]),
        ] {
            let expected = expected.iter().map(|&index| all[index]);
            let expected: Vec<_> =
                expected.map(|(n, consumer, state)| (n, consumer.into(), state.into())).collect();
            assert_eq!(site.listed(arguments), expected, "{} {arguments:?}", site.url);
        }
        let first = &site.json(&["list", "--limit", "1"])[0];
        assert_eq!(first["key"], key(1).to_string());
        assert_eq!(first["event_type"], "contact.created");
        assert_eq!(first["error"], "no such contact");
        assert_eq!((&first["attempts"], &first["bytes"]), (&1.into(), &9.into()));
        let table = text(&site.verb(&["list"]).stdout);
        assert_eq!(table.lines().count(), 7);
        assert!(table.contains("  dead  "), "{table}");
        assert!(table.contains("  contact.created  no such contact\n"), "{table}");
    }
}

#[tokio::test]
async fn a_list_has_each_entry_once_across_pages() {
    for site in Site::both().await {
        site.fill(async |store| {
            let events = (1..=25).map(|number| event(number, b"{}")).collect();
            store.insert(intake("mautic", &["a", "b", "c", "d", "e"], events)).await;
        })
        .await;
        let all = site.listed(&["--limit", "1000"]);
        assert_eq!(all.len(), 125);
        assert!(all.is_sorted());
        let mut distinct = all.clone();
        distinct.dedup();
        assert_eq!(distinct, all);

        let part = site.verb(&["list", "--limit", "18"]);
        assert_eq!(text(&part.stdout).lines().count(), 19);
        assert!(text(&part.stderr).contains("--after 3"), "{}", text(&part.stderr));
        assert_eq!(site.listed(&["--after", "3", "--limit", "1"]), all[15..16]);
        let exact = site.verb(&["list", "--limit", "125"]);
        assert_eq!(text(&exact.stderr), "");
    }
}

#[tokio::test]
async fn an_event_is_shown_with_its_entries_and_exact_body() {
    for site in Site::both().await {
        fill(&site).await;
        for name in ["1", &key(1).to_string()] {
            let shown = text(&site.verb(&["show", name]).stdout);
            for part in [
                format!("key: {}\n", key(1)).as_str(),
                "scheme: mautic\n",
                "event type: contact.created\n",
                "entry of crm: dead, attempts: 1, last error: no such contact\n",
                "entry of mail: waiting, attempts: 0, due at ",
                "  content-type: application/json\n",
                "body, 9 bytes:\n{\"a\": 1}\n",
            ] {
                assert!(shown.contains(part), "{part}: {shown}");
            }
        }
        let raw = site.verb(&["show", "2", "--raw"]);
        assert_eq!(raw.stdout, b"\xff\x00\r\n");
        let shown = text(&site.verb(&["show", "2"]).stdout);
        assert!(shown.contains("not text"), "{shown}");
        let json = &site.json(&["show", "1"])[0];
        assert_eq!(json["body_base64"], "eyJhIjogMX0K");
        assert_eq!(json["headers"][0][1], "application/json");
        assert_eq!(json["entries"][0]["state"], "dead");
        assert_eq!(json["entries"][1]["consumer"], "mail");

        // The fourth event is that of another inbox, and the first one follows 0.
        for (name, said) in [
            ("4", "the inbox mautic has no event 4"),
            ("0", "the inbox mautic has no event 0"),
            ("-1", "unexpected argument '-1'"),
            (&key(9).to_string(), "has no event 0909"),
            ("one", "an event is named by its number"),
        ] {
            let output = site.verb(&["show", name]);
            assert_eq!(output.status.code(), Some(2));
            assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
        }
    }
}

#[tokio::test]
async fn selected_entries_are_retried_and_discarded() {
    for site in Site::both().await {
        fill(&site).await;
        let changed = |arguments: &[&str]| site.json(arguments)[0].clone();
        // Entries that run or are done do not count.
        assert_eq!(changed(&["retry", "1", "--consumer", "crm"])["retried"], 1);
        assert_eq!(site.listed(&["--consumer", "crm"])[0].2, "waiting");
        assert_eq!(changed(&["discard", "2", &key(3).to_string()])["discarded"], 2);
        assert_eq!(site.listed(&["--state", "discarded"]).len(), 2);
        let said = site.verb(&["retry", "--state", "waiting", "--event-type", "contact.created"]);
        assert_eq!(text(&said.stdout), "retried 2 entries\n");
        let said = site.verb(&["discard", "--consumer", "mail"]);
        assert_eq!(text(&said.stdout), "discarded 1 entry\n");
        assert_eq!(text(&site.verb(&["discard", "--all"]).stdout), "discarded 1 entry\n");
        assert_eq!(text(&site.verb(&["retry", "--all"]).stdout), "retried 0 entries\n");
        // The other inbox is unchanged.
        let place = ["inbox", "list", "--database", &site.url, "--endpoint", "orders", "--json"];
        assert_eq!(lines(&run(&place, b""))[0]["state"], "waiting");
    }
}

#[tokio::test]
async fn a_change_needs_a_selection() {
    for site in Site::both().await {
        fill(&site).await;
        let before = site.listed(&[]);
        for verb in ["retry", "discard"] {
            for (arguments, said) in [
                (&[][..], "no selection"),
                (&["--all", "--consumer", "mail"], "cannot be used with"),
                (&["--all", "1"], "cannot be used with"),
                (&["--state", "done"], "possible values: waiting, dead"),
                (&["1", "77"], "the inbox mautic has no event 77"),
                (&["1", "*"], "an event is named by its number"),
            ] {
                let output = site.verb(&[&[verb], arguments].concat());
                assert_eq!(output.status.code(), Some(2), "{arguments:?}");
                assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
            }
        }
        assert_eq!(site.listed(&[]), before);
    }
}

#[tokio::test]
async fn a_purge_deletes_what_need_not_be_kept() {
    for site in Site::both().await {
        fill(&site).await;
        site.json(&["discard", "2"]);
        let vague = site.verb(&["purge"]);
        assert_eq!(vague.status.code(), Some(2));
        assert!(text(&vague.stderr).contains("--keep-bodies"), "{}", text(&vague.stderr));
        for wrong in ["7", "d", "", "-1d", "1w", "9999999999d", "ü"] {
            let output = site.verb(&["purge", &format!("--keep-bodies={wrong}")]);
            assert_eq!(output.status.code(), Some(2), "{wrong}");
        }
        assert_eq!(site.json(&["purge", "--keep-bodies", "1d"])[0]["purged"], 0);
        assert_eq!(site.json(&["show", "2"])[0]["bytes"], 4);
        age_inbox(&site.url, "webhook_inbox", HOUR / 2).await;
        let said = text(&site.verb(&["purge", "--keep-bodies", "10m"]).stdout);
        assert_eq!(said, "purged 1 body or event\n");
        let shown = text(&site.verb(&["show", "2"]).stdout);
        assert!(shown.contains("deleted by a purge"), "{shown}");
        // The key expires after an hour.
        age_inbox(&site.url, "webhook_inbox", HOUR).await;
        assert_eq!(site.json(&["purge", "--keep-bodies", "0s"])[0]["purged"], 1);
        assert_eq!(site.verb(&["show", "2"]).status.code(), Some(2));
        assert_eq!(site.listed(&[]).len(), 4, "events that are not processed stay");
    }
}

#[tokio::test]
async fn a_terminal_obeys_no_event() {
    for site in Site::both().await {
        site.fill(async |store| {
            let mut event = event(1, format!("{HOSTILE}\n{HOSTILE}").as_bytes());
            event.event_type = Some(HOSTILE.into());
            event.id = Some(HOSTILE.into());
            event.scheme = HOSTILE.into();
            event.namespace = Some(HOSTILE.into());
            event.headers = vec![(HOSTILE.into(), HOSTILE.into())];
            store.insert(intake("mautic", &["crm", HOSTILE], vec![event.clone()])).await;
            store.insert(intake(HOSTILE, &["crm"], vec![event])).await;
            store.settle("crm", Some(Verdict::Dead { error: HOSTILE.into() })).await;
        })
        .await;
        let clean = |said: &[u8]| {
            let said = text(said);
            let is_clean = |char: char| char == '\n' || !(char.is_control() || char == '\u{202e}');
            assert!(said.chars().all(is_clean), "{said:?}");
            said
        };
        for arguments in [&["stats"][..], &["list"], &["show", "1"]] {
            let said = clean(&site.verb(arguments).stdout);
            assert!(said.contains(ESCAPED), "{said}");
            clean(&site.verb(&[arguments, &["--json"]].concat()).stdout);
        }
        assert_eq!(site.json(&["list", "--state", "dead"])[0]["error"], HOSTILE);
        let shown = clean(&site.verb(&["show", "1"]).stdout);
        assert!(shown.contains(&format!(":\n{ESCAPED}\n{ESCAPED}\n")), "{shown}");
        let unnamed = clean(&run(&["inbox", "stats", "--database", &site.url], b"").stderr);
        assert!(unnamed.contains(&format!("({ESCAPED}, mautic)")), "{unnamed}");
    }
}
